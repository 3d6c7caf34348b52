/**
 * Text that others write: names in documents of the host, output of programs, answers of services, logs of containers. On a
 * terminal, in the journal or on a page it may be read, but it must not move the cursor, colour, hide or reorder what
 * stands around it, or begin a line of its own.
 */

/**
 * Control characters (C0, DEL, C1), format characters (marks and overrides of writing direction, zero-width ones, tags),
 * line and paragraph separators, lone surrogates. The two joiners stay: scripts and emoji need them, and they move nothing.
 */
const UNSAFE = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;
/** The same without what JSON.stringify escapes by itself or writes between the values. */
const UNSAFE_IN_JSON = /(?![\u200c\u200d])[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu;
const CONTROL = /(?![\n\t])\p{Cc}/gu;

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0');

/** `\x1b`, `\u202e`, `\u{e0041}` */
function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code <= 0xff) return `\\x${hex(code, 2)}`;
  return code <= 0xffff ? `\\u${hex(code, 4)}` : `\\u{${hex(code, 5)}}`;
}

/** Foreign text as part of one line: what would not stay there is written as an escape, a tab as a space. */
export const printable = (text: string): string =>
  text.replace(UNSAFE, (character) => (character === '\n' ? '\\n' : character === '\t' ? ' ' : escaped(character)));

/** The beginning, at most `length` characters; one that needs two units is left out rather than cut in half. */
export const cutText = (text: string, length: number): string => text.slice(0, length).replace(/[\ud800-\udbff]$/, '');

/** Foreign text of several lines: line feeds and tabs stay. Only where each of these lines cannot be taken for one of ours. */
export const printableLines = (text: string): string =>
  text.replace(UNSAFE, (character) => (character === '\n' || character === '\t' ? character : escaped(character)));

/** A JSON document whose strings are foreign: the same values, with escapes for what a terminal would act upon. */
export const printableJson = (json: string): string =>
  json.replace(UNSAFE_IN_JSON, (character) =>
    Array.from({ length: character.length }, (_, i) => `\\u${hex(character.charCodeAt(i), 4)}`).join(''),
  );

/**
 * Control sequences of ECMA-48, introduced by ESC or by their one-character forms: CSI with its parameters, command strings
 * (OSC, DCS, SOS, PM, APC) with their end, and the short ones. The content of a string stops at any other introducer, so
 * that reading stays linear.
 */
const SEQUENCE =
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u0080-\u009f]*(?:\u0007|\u001b\\|\u009c)|\u001b[ -/]*[0-~]/g;

/** Foreign text of several lines without its colours and other control sequences, and with nothing left of a broken one. */
export const withoutSequences = (text: string): string =>
  printableLines(text.replace(SEQUENCE, '').replace(CONTROL, ''));

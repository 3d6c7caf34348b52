/**
 * Everything a person sees. Results go to stdout, progress, logs and errors to stderr.
 *
 * Under systemd (JOURNAL_STREAM is set) each line carries a `<n>` priority prefix (sd-daemon(3)) and no colour; src/colour.ts
 * has the colours. The log level is the first word of DSTACK_LOG or RUST_LOG that is a
 * level name (the reference's units set RUST_LOG), default `info`.
 */
import { paint } from './colour.ts';
import { type DstackError, errorCauses, toDstackError } from './errors.ts';
import { printable, printableJson, printableLines } from './printable.ts';

export { loadColours, paint, paintMatch } from './colour.ts';
export { cutText, printable, printableJson, printableLines, withoutSequences } from './printable.ts';

export type Level = 'error' | 'warn' | 'info' | 'debug';

const PRIORITY: Record<Level, number> = { error: 3, warn: 4, info: 6, debug: 7 };
const ORDER: readonly Level[] = ['error', 'warn', 'info', 'debug'];
/** Of an error only what it is called: cause, place and hint are read, not shouted. */
const COLOURED: Record<Level, (line: string) => string> = {
  error: (line) => line.replace(/^error(?= \[)/, (word) => paint('stderr', 'bad', word)),
  warn: (line) => paint('stderr', 'warn', line),
  info: (line) => line,
  debug: (line) => paint('stderr', 'faint', line),
};

const underJournal = (): boolean => process.env['JOURNAL_STREAM'] !== undefined;

let lastWanted: string | undefined;
let lastThreshold = 2;

function threshold(): number {
  const wanted = process.env['DSTACK_LOG'] ?? process.env['RUST_LOG'] ?? 'info';
  if (wanted !== lastWanted) {
    lastThreshold = levelIn(wanted);
    lastWanted = wanted;
  }
  return lastThreshold;
}

function levelIn(wanted: string): number {
  const word = wanted.toLowerCase().match(/\b(error|warn|info|debug|trace|off)\b/)?.[1];
  if (word === 'off') return -1;
  if (word === 'trace') return ORDER.length - 1;
  const index = ORDER.indexOf((word ?? 'info') as Level);
  return index < 0 ? 2 : index;
}

/** True when a record of this level would be written: worth asking before an expensive text is built. */
export const wants = (level: Level): boolean => ORDER.indexOf(level) <= threshold();

/**
 * Writes log records, a line each. A text is one record, whatever is in it: foreign text cannot begin another one. Several
 * lines are given as an array.
 */
export function log(level: Level, text: string | readonly string[]): void {
  if (!wants(level)) return;
  const prefix = underJournal() ? `<${PRIORITY[level]}>` : '';
  const lines = typeof text === 'string' ? [text] : text;
  process.stderr.write(lines.map((line) => `${prefix}${COLOURED[level](printable(line))}\n`).join(''));
}

export const info = (text: string | readonly string[]): void => log('info', text);
export const warn = (text: string | readonly string[]): void => log('warn', text);
export const debug = (text: string | readonly string[]): void => log('debug', text);
export const error = (text: string | readonly string[]): void => log('error', text);

/** A value as JSON for a terminal or a file: indented, without a line end. */
export const json = (value: unknown): string => printableJson(JSON.stringify(value, null, 2));

/** Version of the JSON of our own results (docs/schemas). Raised when a field goes or changes its meaning, not for a new one. */
export const JSON_VERSION = 1;

/** Our own form of a result: names with underscores, whatever they are called in the code, and the version in front. */
function ownDocument(value: object | undefined): unknown {
  return { version: JSON_VERSION, ...(underscored(value) as object) };
}

function underscored(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(underscored);
  if (value === null || typeof value !== 'object' || 'toJSON' in value) return value;
  const name = (key: string) => key.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(value).map(([key, below]) => [name(key), underscored(below)]));
}

/**
 * Prints a result: JSON when asked for, else the text form, which ends with exactly one newline. Lines that have foreign
 * text in them are given as an array: each stays one line.
 */
export function result(
  value: object | undefined,
  options: {
    json?: boolean | undefined;
    /** the platform's tools define this document: it is printed as it is */
    foreign?: boolean;
    text: () => string | readonly string[];
    /** colours of one line, which is harmless already */
    paint?: (line: string) => string;
  },
): void {
  const text = options.json
    ? json(options.foreign ? value : ownDocument(value))
    : painted(textOf(options.text()), options.paint);
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
}

const textOf = (text: string | readonly string[]): string =>
  typeof text === 'string' ? printableLines(text) : text.map(printable).join('\n');

const painted = (text: string, line: ((line: string) => string) | undefined): string =>
  line === undefined ? text : text.split('\n').map(line).join('\n');

/** A write to standard output failed. `cause` has the error of the system. */
export class StdoutFailed extends Error {}

/**
 * Writes raw result bytes to stdout and waits until the pipe took them.
 * (`process.exit()` right after a large write to a pipe truncates it: commands set `process.exitCode` instead.)
 * @throws StdoutFailed
 */
export function output(bytes: Uint8Array | string): Promise<void> {
  return new Promise((resolve, reject) =>
    process.stdout.write(bytes, (failed) =>
      failed ? reject(new StdoutFailed('cannot write to standard output', { cause: failed })) : resolve(),
    ),
  );
}

/** An error as people read it, in lines: what, why, where, what to do. Further lines of a foreign message are marked. */
export function errorLines(thrown: unknown): string[] {
  const failure = toDstackError(thrown);
  const [head, ...causes] = errorCauses(failure);
  const where = [
    failure.path === undefined ? '' : `file ${failure.path}`,
    failure.field === undefined ? '' : `field ${failure.field}`,
    failure.value === undefined ? '' : `value ${JSON.stringify(failure.value)}`,
  ].filter((part) => part !== '');
  return [
    ...marked(`error [${failure.code}]: `, head ?? ''),
    ...causes.flatMap((cause) => marked('  caused by: ', cause)),
    ...(where.length > 0 ? [`  where: ${where.join(', ')}`] : []),
    `  hint: ${failure.hint}`,
  ].map(printable);
}

function marked(label: string, text: string): string[] {
  const [first = '', ...more] = text.split('\n');
  return [`${label}${first}`, ...more.map((line) => `    | ${line}`)];
}

/** The same in one text. */
export const formatError = (thrown: unknown): string => errorLines(thrown).join('\n');

/** Prints an error to stderr (or as JSON to stdout with `json`) and returns the exit status for it. */
export function reportFailure(thrown: unknown, options: { json?: boolean | undefined } = {}): number {
  const failure: DstackError = toDstackError(thrown);
  if (options.json) process.stdout.write(`${json({ version: JSON_VERSION, error: failure.toJSON() })}\n`);
  error(errorLines(failure));
  return failure.exit;
}

/** `850 ms`, `12.3 s`, `2 min 05 s`. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
}

/**
 * The report of a verification for people. On a terminal long lines are wrapped, elsewhere each stays one line; only cells of
 * the table of events are cut, and `--json` has them in full.
 */
import { toHex } from '../codec/hex.ts';
import { latin1 } from '../codec/text.ts';
import { cutText, printable } from '../ui.ts';
import type { Check } from './check.ts';
import type { EventRow } from './event-rows.ts';
import { mark, stateMark } from './marks.ts';
import type { VerifyReport } from './verify-evidence.ts';
import { wrapText } from './wrap-text.ts';

const VERDICT = { valid: 'valid', invalid: 'INVALID', unchecked: 'NOT CHECKED' } as const;
/** What others wrote into an error may be long. */
const DETAIL_LIMIT = 2000;
const MIN_WIDTH = 72;
const MAX_WIDTH = 160;
/** Digits of a hash, the widest event name, on a narrow and on a wide terminal. */
const NARROW = { hash: 8, name: 17 } as const;
const WIDE = { hash: 12, name: 24 } as const;
/** An app may measure any amount: where no terminal limits the table, this does. */
const PAYLOAD_LIMIT = 512;

/** One line without control characters, at most `width` characters. */
function shorten(text: string, width: number): string {
  const line = printable(text);
  return line.length <= width ? line : `${cutText(line, Math.max(width - 1, 0))}…`;
}

const isText = (bytes: Uint8Array): boolean => bytes.length > 0 && bytes.every((byte) => byte >= 0x20 && byte < 0x7f);

/** Payloads that are text are shown as text. */
function payloadText(payload: Uint8Array): string {
  if (payload.length === 0) return '-';
  return isText(payload) ? latin1(payload) : toHex(payload);
}

/** Head and text, wrapped with the text in its own column. */
function entry(head: string, text: string, width: number): string[] {
  const [first = '', ...rest] = wrapText(printable(text), width, head.length);
  return [head + first, ...rest];
}

/** @param columns width of the terminal; undefined when the text goes elsewhere */
export function reportText(
  report: VerifyReport,
  context: { at: number; root: { name: string; sha256: string; intel: boolean } },
  columns?: number,
): string {
  const width = columns === undefined ? Number.POSITIVE_INFINITY : Math.min(Math.max(columns, MIN_WIDTH), MAX_WIDTH);
  const { evidence, identity, quoteCheck } = report;
  const lines = [
    `evidence    ${evidence?.form ?? 'not recognised'}, ${report.bytes} bytes`,
    `judged at   ${new Date(context.at).toISOString()}`,
    ...entry('trusting    ', `${rootName(context.root)} (SHA-256 ${context.root.sha256.slice(0, 16)}…)`, width),
    '',
    'checks',
    ...report.checks.flatMap((check) => checkLines(check, width)),
  ];
  if (report.rows.length > 0) lines.push('', 'RTMR3, event by event', ...eventTable(report.rows, width));
  if (identity !== undefined) {
    const { info, keyProvider } = identity;
    const rows: [string, string][] = [
      ['app id', toHex(info.appId)],
      ['compose hash', toHex(info.composeHash)],
      ['instance id', toHex(info.instanceId) || 'none'],
      ['key provider', keyProvider === undefined ? 'not measured' : `${keyProvider.name} ${keyProvider.id}`.trim()],
      ['os image hash', toHex(info.osImageHash) ? `${toHex(info.osImageHash)} (${hashWorth(report)})` : 'not stated'],
      ...(quoteCheck?.platform === undefined ? [] : ([['device id', toHex(info.deviceId)]] as [string, string][])),
    ];
    lines.push('', 'identity', ...rows.flatMap(([name, value]) => entry(`  ${name.padEnd(14)} `, value, width)));
  }
  const { body } = report.quote ?? {};
  if (body !== undefined) {
    lines.push('', 'registers');
    const registers: [string, Uint8Array][] = [
      ['MRTD', body.mrtd],
      ...body.rtmrs.map((r, i): [string, Uint8Array] => [`RTMR${i}`, r]),
    ];
    // in two halves: a register is copied from here into --expect
    for (const [name, value] of registers) {
      const digits = toHex(value);
      lines.push(`  ${name.padEnd(6)} ${digits.slice(0, 48)}`, `         ${digits.slice(48)}`);
    }
  }
  return [...lines, '', ...verdictLines(report, context.root, width)].map((line) => line.trimEnd()).join('\n');
}

const rootName = ({ name, intel }: { name: string; intel: boolean }): string =>
  intel ? name : `${name}, which is NOT Intel’s root`;

/** Part by part, then what nobody proved, then the verdict: who reads the last line alone sees the root as well. */
function verdictLines(report: VerifyReport, root: { name: string; intel: boolean }, width: number): string[] {
  const { machine, system, app, fresh } = report.proof;
  // a failed check stands above in full, and what is not proven below
  const why = ({ state, why }: typeof system): string =>
    state === 'not proven' ? '' : `: ${state === 'contradicted' ? why.split(': ', 1).join() : why}`;
  const parts = Object.entries({ machine, system, app, fresh }).flatMap(([name, part]) => {
    const conditional = part === app && app.conditional ? ', if the system is one that you trust' : '';
    return entry(`${name.padEnd(12)}`, `${stateMark(part.state)}${conditional}${why(part)}`, width);
  });
  const open = report.notProven.flatMap((text) => entry('  - ', text, width));
  const names = decisive(report).map(({ name }) => name);
  const verdict = [VERDICT[report.verdict], ...(names.length === 0 ? [] : [`: ${names.join(', ')}`])].join('');
  return [
    ...parts,
    ...(open.length === 0 ? [] : ['', 'not proven:', ...open]),
    '',
    ...entry('verdict     ', root.intel ? verdict : `${verdict}; under ${rootName(root)}`, width),
  ];
}

/** What the hash that the host stated is worth. */
function hashWorth({ system, identity }: VerifyReport): string {
  const hash = system?.reference.osImageHash;
  const same = hash !== undefined && toHex(hash) === toHex(identity?.info.osImageHash ?? new Uint8Array());
  if (same && system?.verdict === 'proven') return 'proven';
  return same && system?.verdict === 'consistent' ? 'as the host says, and the registers agree' : 'as the host says';
}

function checkLines({ name, outcome, detail }: Check, width: number): string[] {
  return entry(`  ${mark(outcome)} ${name.padEnd(22)} `, cutText(printable(detail), DETAIL_LIMIT), width);
}

function eventTable(rows: readonly EventRow[], width: number): string[] {
  const { hash, name } = width < 96 ? NARROW : WIDE;
  const nameWidth = Math.min(Math.max(...rows.map(({ event }) => event.length), 5), name);
  const longest = Math.max(...rows.map(({ payload }) => payloadText(payload).length), 7);
  const payloadWidth = Number.isFinite(width) ? width - (24 + nameWidth + 2 * hash) : Math.min(longest, PAYLOAD_LIMIT);
  const cell = (text: string, size: number): string => shorten(text, size).padEnd(size);
  const line = (index: string, event: string, payload: string, digest: string, value: string, state: string): string =>
    `  ${index.padStart(4)}  ${cell(event, nameWidth)}  ${cell(payload, payloadWidth)}  ` +
    `${cell(digest, hash + 1)}  ${cell(value, hash + 1)}  ${state}`;
  return [
    line('#', 'event', 'payload', 'digest', 'RTMR3', 'state'),
    ...rows.flatMap(({ index, event, payload, digest, register, state, why }) => [
      line(String(index), event, payloadText(payload), digest, register, state),
      ...(why === undefined ? [] : entry('        ^ ', cutText(why, DETAIL_LIMIT), width)),
    ]),
  ];
}

/** The checks that decided against validity; none for valid evidence. */
function decisive({ verdict, checks }: VerifyReport): readonly Check[] {
  if (verdict === 'valid') return [];
  return checks.filter(({ outcome }) => outcome === (verdict === 'invalid' ? 'fail' : 'unknown'));
}

/** Digits of a value that is told in full elsewhere. */
const HINT = 16;

/** The first check that decided against validity, in words; empty for valid evidence. The report has its values in full. */
export function verdictReason(report: VerifyReport): string {
  const [reason] = decisive(report);
  if (reason === undefined) return '';
  const { verdict, drift } = report;
  const also = verdict === 'invalid' && drift !== undefined && reason.name !== 'boot-events';
  const text = `${reason.name}: ${reason.detail}${also ? `; first drift at ${drift}` : ''}`;
  return shorten(
    text.replace(/\b[0-9a-f]{41,}\b/g, (digits) => `${digits.slice(0, HINT)}…`),
    DETAIL_LIMIT,
  );
}

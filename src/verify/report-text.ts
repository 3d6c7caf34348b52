/** The report of a verification for people: fits a terminal, long values are cut, `--json` has them in full. */
import { toHex } from '../codec/hex.ts';
import { cutText, printable } from '../ui.ts';
import type { Check, Outcome } from './check.ts';
import type { EventRow } from './event-rows.ts';
import type { VerifyReport } from './verify-evidence.ts';

const MARK: Readonly<Record<Outcome, string>> = { pass: 'ok', fail: 'FAIL', unknown: '?', note: '-' };
const VERDICT = {
  valid: 'valid',
  invalid: 'INVALID',
  unchecked: 'NOT CHECKED (nothing is proven either way)',
} as const;
/** Words that cannot be taken for more than they are. */
const SYSTEM = {
  proven: 'proven',
  consistent: 'consistent with the image that the host names, not proven to be yours',
  refused: 'NOT PROVEN: it is another one, or the evidence is refused',
  unchecked: 'not proven: it could not be computed',
} as const;
const MIN_WIDTH = 72;
const MAX_WIDTH = 160;
/** Digits of a hash, the widest event name, on a narrow and on a wide terminal. */
const NARROW = { hash: 8, name: 17 } as const;
const WIDE = { hash: 12, name: 24 } as const;

/** One line without control characters, at most `width` characters. */
function shorten(text: string, width: number): string {
  const line = printable(text);
  return line.length <= width ? line : `${cutText(line, Math.max(width - 1, 0))}…`;
}

const isText = (bytes: Uint8Array): boolean => bytes.length > 0 && bytes.every((byte) => byte >= 0x20 && byte < 0x7f);

/** Payloads that are text are shown as text. */
function payloadText(payload: Uint8Array): string {
  if (payload.length === 0) return '-';
  return isText(payload) ? Buffer.from(payload).toString('latin1') : toHex(payload);
}

/** @param columns width of the terminal */
export function reportText(
  report: VerifyReport,
  context: { at: number; root: { name: string; sha256: string; intel: boolean } },
  columns = 100,
): string {
  const width = Math.min(Math.max(columns, MIN_WIDTH), MAX_WIDTH);
  const { evidence, identity, quoteCheck } = report;
  const lines = [
    `evidence    ${evidence?.form ?? 'not recognised'}, ${report.bytes} bytes`,
    `judged at   ${new Date(context.at).toISOString()}`,
    `trusting    ${context.root.name}${context.root.intel ? '' : ', which is NOT Intel’s root'} (SHA-256 ${context.root.sha256.slice(0, 16)}…)`,
    '',
    'checks',
    ...report.checks.map((check) => checkLine(check, width)),
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
    lines.push('', 'identity', ...rows.map(([name, value]) => shorten(`  ${name.padEnd(14)} ${value}`, width)));
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
  const { system } = report;
  if (system !== undefined) {
    const hash = system.reference.osImageHash;
    const image = hash === undefined ? system.reference.name : `os_image_hash ${toHex(hash)}`;
    lines.push(
      '',
      ...[`system      ${SYSTEM[system.verdict]}`, `            ${image}`].map((line) => shorten(line, width)),
    );
  }
  return [...lines, '', `verdict     ${verdictLine(report)}`].map((line) => line.trimEnd()).join('\n');
}

/** What the hash that the host stated is worth. */
function hashWorth({ system, identity }: VerifyReport): string {
  const hash = system?.reference.osImageHash;
  const same = hash !== undefined && toHex(hash) === toHex(identity?.info.osImageHash ?? new Uint8Array());
  if (same && system?.verdict === 'proven') return 'proven';
  return same && system?.verdict === 'consistent' ? 'as the host says, and the registers agree' : 'as the host says';
}

function checkLine({ name, outcome, detail }: Check, width: number): string {
  const head = `  ${MARK[outcome].padEnd(4)} ${name.padEnd(22)} `;
  // what went wrong is never cut
  return outcome === 'pass' || outcome === 'note' ? shorten(head + detail, width) : head + shorten(detail, 2000);
}

function eventTable(rows: readonly EventRow[], width: number): string[] {
  const { hash, name } = width < 96 ? NARROW : WIDE;
  const nameWidth = Math.min(Math.max(...rows.map(({ event }) => event.length), 5), name);
  const payloadWidth = width - (24 + nameWidth + 2 * hash);
  const cell = (text: string, size: number): string => shorten(text, size).padEnd(size);
  const line = (index: string, event: string, payload: string, digest: string, value: string, state: string): string =>
    `  ${index.padStart(4)}  ${cell(event, nameWidth)}  ${cell(payload, payloadWidth)}  ` +
    `${cell(digest, hash + 1)}  ${cell(value, hash + 1)}  ${state}`;
  return [
    line('#', 'event', 'payload', 'digest', 'RTMR3', 'state'),
    ...rows.flatMap(({ index, event, payload, digest, register, state, why }) => [
      line(String(index), event, payloadText(payload), digest, register, state),
      ...(why === undefined ? [] : [shorten(`        ^ ${why}`, width)]),
    ]),
  ];
}

/** The verdict with its first reason. */
function verdictLine(report: VerifyReport): string {
  const why = verdictReason(report);
  return why === '' ? VERDICT[report.verdict] : `${VERDICT[report.verdict]}: ${why}`;
}

/** The first check that decided against validity, in words; empty for valid evidence. */
export function verdictReason({ verdict, checks, drift }: VerifyReport): string {
  const wanted: Outcome = verdict === 'invalid' ? 'fail' : 'unknown';
  const reason = checks.find(({ outcome }) => outcome === wanted);
  const why = verdict === 'valid' || reason === undefined ? '' : `${reason.name}: ${shorten(reason.detail, 2000)}`;
  const also =
    verdict === 'invalid' && drift !== undefined && reason?.name !== 'boot-events'
      ? `; first drift at ${shorten(drift, 400)}`
      : '';
  return why + also;
}

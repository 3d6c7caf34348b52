/**
 * One line a request: service and method, status, outcome code, duration, who asked. Never anything out of the request or
 * the answer: both hold keys. Routine lines are for debugging; what changes the machine or goes wrong is always shown, but
 * only so many lines a second, or a failing client in a loop would push everything else out of the journal.
 */
import { DstackError, type ErrorCode, errorChain } from '../../errors.ts';
import * as ui from '../../ui.ts';

export interface RequestOutcome {
  readonly service: string;
  /** a name of the table; `unknown` for everything else, because it is foreign text */
  readonly method: string;
  readonly status: number;
  readonly code: 'ok' | ErrorCode;
  readonly milliseconds: number;
  /** `uid 0 pid 17`, an address, or empty */
  readonly peer: string;
}

/** Failures that say something about the request only: their text repeats parts of it and stays out of the log. */
const CALLER_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'HTTP_REQUEST_INVALID',
  'RPC_METHOD_UNKNOWN',
  'RPC_METHOD_DENIED',
  'RPC_REQUEST_INVALID',
  'RPC_PAYLOAD_TOO_LARGE',
  'INPUT_INVALID',
  'HEX_INVALID',
  'ALGORITHM_UNSUPPORTED',
  'REPORT_DATA_INVALID',
  'EVENT_NAME_RESERVED',
  'CERT_INVALID',
  'KEY_INVALID',
]);

/** Requests that change the machine. */
const NOTABLE: ReadonlySet<string> = new Set(['EmitEvent', 'Shutdown']);

export const outcomeCode = (thrown: unknown): ErrorCode => (thrown instanceof DstackError ? thrown.code : 'INTERNAL');

export const LINES_A_SECOND = 20;
let second = 0;
let lines = 0;
let dropped = 0;

function mayWrite(): boolean {
  const now = Math.floor(performance.now() / 1000);
  if (now !== second) {
    if (dropped > 0) ui.warn(`${dropped} more requests with a failure are not logged`);
    second = now;
    lines = 0;
    dropped = 0;
  }
  if (lines++ < LINES_A_SECOND) return true;
  dropped++;
  return false;
}

/** @param thrown why it failed; told only when the fault is ours */
export function logRequest(outcome: RequestOutcome, thrown?: unknown): void {
  const { code, service, method, status, milliseconds, peer } = outcome;
  const routine = code === 'ok' && !NOTABLE.has(method);
  if (routine && !ui.wants('debug')) return;
  if (!routine && !ui.wants('debug') && !mayWrite()) return;
  const line = `${service}.${method} ${status} ${code} ${milliseconds.toFixed(1)} ms${peer === '' ? '' : ` ${peer}`}`;
  if (routine) ui.debug(line);
  else if (code === 'ok' || CALLER_FAULTS.has(code)) ui.info(line);
  else ui.warn(`${line}: ${errorChain(thrown)}`);
}

/** After a failed boot: start again, or stop where somebody can read why. */

import type { PhaseRecord } from '../config/timeline-file.ts';
import { ERRORS, type ErrorCode } from '../errors.ts';

/** Restarts in a row before the guest stops. */
export const MAX_RESTARTS = 3;

/**
 * Codes that no later attempt in the same boot can repair, but a new boot may: the register and its log start afresh, and a
 * tool that failed for reasons of its own gets another chance.
 */
const MENDED_BY_RESTART: ReadonlySet<string> = new Set<ErrorCode>([
  'COMMAND_FAILED',
  'EVENT_LINE_LOST',
  'EVENT_LOG_DIVERGED',
  'EVENT_LOG_INVALID',
  'EVENT_VERSION_CONFLICT',
  'FS_MOUNT_FAILED',
  'INTERNAL',
  'KMS_ANSWER_INVALID',
  'LUKS_OPEN_FAILED',
  'MOUNT_FAILED',
  'RTMR_EXTEND_FAILED',
  'RTMR_READ_FAILED',
  'SCRIPT_FAILED',
]);

export interface Failure {
  /** `sequence: phase`, or undefined when the process ended without a record */
  readonly phase: string | undefined;
  /** the error as the host was told, with its code in brackets at the end */
  readonly text: string;
  readonly code: string | undefined;
}

/** The last failed phase of the timeline. */
export function lastFailure(records: readonly PhaseRecord[]): Failure {
  const failed = records.findLast(({ outcome }) => outcome === 'failed');
  if (failed === undefined) return { phase: undefined, text: 'it ended without saying why', code: undefined };
  const text = failed.error ?? 'no reason was recorded';
  return { phase: `${failed.sequence}: ${failed.phase}`, text, code: /\[([A-Z0-9_]+)\]$/.exec(text)?.[1] };
}

export type Decision =
  | { readonly action: 'restart'; readonly restart: number }
  | { readonly action: 'stop'; readonly why: string };

/** @param restarts so far in a row; undefined where they cannot be counted */
export function decideRestart({ code }: Failure, restarts: number | undefined): Decision {
  if (code !== undefined && !mayMend(code)) return { action: 'stop', why: 'a restart does not repair this' };
  if (restarts === undefined)
    return { action: 'stop', why: 'restarts are counted on the data disk, and there is no partition of ours' };
  if (restarts >= MAX_RESTARTS) return { action: 'stop', why: `${restarts} restarts in a row did not help` };
  return { action: 'restart', restart: restarts + 1 };
}

/** A code of another version counts as one that may be repaired: it costs three restarts. */
const mayMend = (code: string): boolean =>
  MENDED_BY_RESTART.has(code) || !Object.hasOwn(ERRORS, code) || ERRORS[code as ErrorCode].retry;

/** What the console shows: the last lines before the guest goes away must say everything. */
export function farewell(failure: Failure, decision: Decision): string[] {
  const where = failure.phase === undefined ? 'the boot failed' : `the boot failed in ${failure.phase}`;
  const lines = [`${where}: ${failure.text}`];
  const info =
    failure.code !== undefined && Object.hasOwn(ERRORS, failure.code) ? ERRORS[failure.code as ErrorCode] : null;
  if (info !== null) lines.push(`hint: ${info.hint}`);
  lines.push(
    decision.action === 'restart'
      ? `restarting, ${decision.restart} of at most ${MAX_RESTARTS} times`
      : `stopping: ${decision.why}. Nothing runs until the host starts this machine again`,
  );
  return lines;
}

/**
 * Clock: one quick step before anything dates a certificate, and the strict wait that `secure_time` asks for. Without
 * `secure_time` nothing waits for the network's time: chronyd goes on in the background.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { DstackError, errorChain, findCause } from '../../errors.ts';
import { isDryRun } from '../../sys/effects.ts';
import * as ui from '../../ui.ts';
import type { BootMachine } from '../boot-machine.ts';

/** A step that takes longer is not worth waiting for. */
const STEP_TIMEOUT_MS = 1000;
/** the wait is `waitsync 30 0.1 0 5` in single steps: 30 tries, 5 seconds apart, off by at most 0.1 s */
const TRIES = 30;
const INTERVAL_MS = 5000;
const MAX_OFFSET_S = '0.1';
const TRY_TIMEOUT_MS = 5000;

/** Asks chronyd to step the clock; a failure is only logged. */
export async function stepClock(machine: BootMachine): Promise<void> {
  try {
    await machine.run('chronyc', ['makestep'], { timeout: STEP_TIMEOUT_MS });
  } catch (thrown) {
    ui.warn(`the clock was not stepped: ${errorChain(thrown)}`);
  }
}

export interface WaitOptions {
  /** between two tries, in milliseconds */
  readonly intervalMs?: number;
  readonly tries?: number;
}

/**
 * Waits until chronyd has synchronised the clock to 0.1 s, and says what is missing as often as that changes.
 * @throws TIME_UNSYNCED with what was missing last, COMMAND_NOT_FOUND
 */
export async function waitForSecureTime(machine: BootMachine, options: WaitOptions = {}): Promise<void> {
  const { intervalMs = INTERVAL_MS, tries = TRIES } = options;
  let missing = '';
  for (let n = 1; ; n++) {
    // one try at a time: chronyc shows what it sees only when it ends
    const { exit, stdout, stderr } = await attempt(machine);
    if (exit === 0) return;
    const now = whatIsMissing(stdout, stderr);
    if (now !== missing) ui.info(`secure time: ${now}`);
    missing = now;
    if (n >= tries) break;
    await sleep(intervalMs);
  }
  throw new DstackError('TIME_UNSYNCED', `the clock was not synchronised within ${ui.duration(tries * intervalMs)}`, {
    field: 'secure_time',
    cause: missing,
  });
}

async function attempt(machine: BootMachine): Promise<{ exit: number; stdout: string; stderr: string }> {
  try {
    return await machine.run('chronyc', ['waitsync', '1', MAX_OFFSET_S, '0', '0'], {
      ok: [0, 1],
      timeout: TRY_TIMEOUT_MS,
    });
  } catch (thrown) {
    if (isDryRun() || findCause(thrown, 'COMMAND_TIMEOUT') === undefined) throw thrown;
    return { exit: 1, stdout: '', stderr: 'chronyd does not answer' };
  }
}

/** What the single line of `chronyc waitsync` tells. */
export function whatIsMissing(stdout: string, stderr: string): string {
  const line = /refid: ([0-9A-F]{8}), correction: (-?[0-9.]+)/.exec(stdout);
  if (line === null) return `waiting for chronyd (${(stderr.trim() || stdout.trim() || 'no answer').slice(0, 200)})`;
  const [, refid, correction] = line;
  if (refid === '00000000') return 'waiting for a time source: none has answered chronyd yet';
  return `waiting for the clock to come within ${MAX_OFFSET_S} s: it is off by ${correction} s`;
}

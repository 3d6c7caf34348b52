/**
 * Clock: the time servers of the kernel command line, one quick step before anything dates a certificate, and the strict
 * wait that `secure_time` asks for. Without `secure_time` nothing waits for the network's time: chronyd goes on in the
 * background.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PATHS } from '../../config/paths.ts';
import { chronySources, NTS_PARAMETER, type TimeServer } from '../../config/time-servers.ts';
import { DstackError, errorChain, findCause } from '../../errors.ts';
import { isDryRun } from '../../sys/effects.ts';
import { makeDir, writeAtomic } from '../../sys/files.ts';
import * as ui from '../../ui.ts';
import type { BootMachine } from '../boot-machine.ts';

/** A step that takes longer is not worth waiting for. */
const STEP_TIMEOUT_MS = 1000;
/** the wait is `waitsync 30 0.1 0 5` in single steps: 30 tries, 5 seconds apart, off by at most 0.1 s */
const TRIES = 30;
const INTERVAL_MS = 5000;
const MAX_OFFSET_S = '0.1';
const TRY_TIMEOUT_MS = 5000;

/**
 * Tells chronyd the servers of the kernel command line. A chronyd that does not answer is only told about: `secure_time`
 * decides whether the boot needs it.
 */
export async function nameTimeServers(machine: BootMachine, servers: readonly TimeServer[]): Promise<void> {
  if (servers.length === 0) return;
  const dir = `${machine.root}${PATHS.chronySources}`;
  await makeDir(dir);
  await writeAtomic(`${dir}/dstack.sources`, chronySources(servers), 0o644); // chronyd is not root any more
  try {
    await machine.run('chronyc', ['reload', 'sources'], { timeoutMs: STEP_TIMEOUT_MS });
  } catch (thrown) {
    ui.warn(`chronyd was not told the time servers: ${errorChain(thrown)}`);
  }
}

/** Asks chronyd to step the clock; a failure is only logged. */
export async function stepClock(machine: BootMachine): Promise<void> {
  try {
    await machine.run('chronyc', ['makestep'], { timeoutMs: STEP_TIMEOUT_MS });
  } catch (thrown) {
    ui.warn(`the clock was not stepped: ${errorChain(thrown)}`);
  }
}

export interface ClockWaitOptions {
  /** between two tries, in milliseconds */
  readonly intervalMs?: number;
  readonly tries?: number;
  /** only a server that proves who it is may have set the clock; chrony's own settings may be weaker */
  readonly authenticated?: boolean;
}

/**
 * Waits until chronyd has synchronised the clock to 0.1 s, and says what is missing as often as that changes.
 * @throws TIME_UNSYNCED with what was missing last, COMMAND_NOT_FOUND
 */
export async function waitForSecureTime(machine: BootMachine, options: ClockWaitOptions = {}): Promise<void> {
  const { intervalMs = INTERVAL_MS, tries = TRIES, authenticated = false } = options;
  let missing = '';
  for (let n = 1; ; n++) {
    // one try at a time: chronyc shows what it sees only when it ends
    const { exit, stdout, stderr } = await attempt(machine);
    const now = exit === 0 ? await whatIsUnproven(machine, authenticated) : whatIsMissing(stdout, stderr);
    if (now === undefined) return;
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
      timeoutMs: TRY_TIMEOUT_MS,
    });
  } catch (thrown) {
    if (isDryRun() || findCause(thrown, 'COMMAND_TIMEOUT') === undefined) throw thrown;
    return { exit: 1, stdout: '', stderr: 'chronyd does not answer' };
  }
}

/** Says who set the clock. What is missing, if that must be proven and is not; else undefined. */
async function whatIsUnproven(machine: BootMachine, required: boolean): Promise<string | undefined> {
  if (isDryRun()) return undefined;
  const source = await findSource(machine);
  if (source?.authenticated === true) {
    ui.info(`secure time: from ${source.name}, authenticated (NTS)`);
    return undefined;
  }
  const who =
    source === undefined ? 'chronyd does not say which source it follows' : `${source.name} is not authenticated`;
  if (required) return `waiting for a server of ${NTS_PARAMETER}: ${who}`;
  ui.warn(`secure time: ${who}: whoever carries its packets, the host first of all, chooses the time`);
  return undefined;
}

async function findSource(machine: BootMachine): Promise<TimeSource | undefined> {
  const ask = async (what: string) =>
    (await machine.run('chronyc', ['-c', '-N', what], { timeoutMs: TRY_TIMEOUT_MS })).stdout;
  try {
    return selectedSource(await ask('sources'), await ask('authdata'));
  } catch (thrown) {
    ui.debug(`chronyd does not tell its sources: ${errorChain(thrown)}`);
    return undefined;
  }
}

export interface TimeSource {
  readonly name: string;
  readonly authenticated: boolean;
}

/** The source that chronyd follows, from `chronyc -c -N sources` and `chronyc -c -N authdata` (chronyc(1)). */
export function selectedSource(sources: string, authdata: string): TimeSource | undefined {
  const rows = (text: string) => text.split('\n').map((line) => line.split(','));
  const name = rows(sources).find(([, state]) => state === '*')?.[2];
  if (name === undefined || name === '') return undefined;
  // two sources of one name cannot be told apart: all must be authenticated
  const modes = rows(authdata).filter(([of]) => of === name);
  return { name, authenticated: modes.length > 0 && modes.every(([, mode]) => mode === 'NTS') };
}

/** What the single line of `chronyc waitsync` tells. */
export function whatIsMissing(stdout: string, stderr: string): string {
  const line = /refid: ([0-9A-F]{8}), correction: (-?[0-9.]+)/.exec(stdout);
  if (line === null) return `waiting for chronyd (${(stderr.trim() || stdout.trim() || 'no answer').slice(0, 200)})`;
  const [, refid, correction] = line;
  if (refid === '00000000') return 'waiting for a time source: none has answered chronyd yet';
  return `waiting for the clock to come within ${MAX_OFFSET_S} s: it is off by ${correction} s`;
}

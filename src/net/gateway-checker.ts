/** The checker: looks at the tunnel every ten seconds and registers again when the decision says so. Runs until it is told to stop. */
import { errorChain } from '../errors.ts';
import { exists } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { decideChecker, initialState, type Observation, POLL_S, record, STALE_S } from './checker-decision.ts';
import { type NetMachine, refreshGateway } from './gateway.ts';
import { latestHandshake, readHandshakes } from './wireguard.ts';

export interface CheckerOptions {
  readonly workDir: string;
  readonly machine: NetMachine;
  /** tells the service manager, e.g. `WATCHDOG=1` */
  readonly notify: (state: string) => Promise<unknown>;
  /** seconds that only go forward */
  readonly clock: () => number;
  readonly sleep: (seconds: number) => Promise<void>;
  /** 0 to 1 */
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** one registration, default the real one */
  readonly refresh?: (force: boolean) => Promise<unknown>;
}

/** Runs until the signal. A failed refresh is a warning: the next one comes. */
export async function runChecker(options: CheckerOptions): Promise<void> {
  const { machine, clock, random, signal } = options;
  const refresh = options.refresh ?? ((force) => refreshGateway({ workDir: options.workDir, force }, machine));
  // guests that were started by the same event must not look in the same second for ever
  await options.sleep(POLL_S * random());
  let state = initialState(await exists(machine.wireGuardFile), clock(), random());
  while (!signal.aborted) {
    await options.notify('WATCHDOG=1');
    const decided = decideChecker(state, await observe(machine, clock()), clock(), STALE_S);
    state = decided.state;
    if (decided.action !== 'wait') {
      const force = decided.action === 'force';
      const succeeded = await attempt(refresh, force);
      state = record(state, force, succeeded, clock(), random());
    }
    await options.sleep(POLL_S);
  }
}

async function attempt(refresh: (force: boolean) => Promise<unknown>, force: boolean): Promise<boolean> {
  try {
    const outcome = await refresh(force);
    if (force || outcome === 'joined') ui.info(`the gateway registration was renewed${force ? ' by force' : ''}`);
    return true;
  } catch (thrown) {
    ui.warn(`the gateway registration was not renewed: ${errorChain(thrown)}`);
    return false;
  }
}

/**
 * What the decision needs. The handshake is told in wall-clock time; only its age is taken, so that a step of the clock
 * can never make the checker wait for hours.
 */
export async function observe(machine: NetMachine, now: number): Promise<Observation> {
  if (!(await exists(machine.wireGuardFile))) return { configured: false, handshake: undefined };
  let handshake: number | undefined;
  try {
    handshake = latestHandshake(await readHandshakes(machine.run));
  } catch (thrown) {
    ui.warn(`the state of the tunnel cannot be read: ${errorChain(thrown)}`);
  }
  if (handshake === undefined) return { configured: true, handshake: undefined };
  return { configured: true, handshake: now - Math.max(0, machine.now() - handshake) };
}

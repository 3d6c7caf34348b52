/**
 * Signs of life for the service manager (sd_watchdog_enabled(3)), each one earned by real requests to our own listeners, so
 * that a hanging agent is restarted.
 */
import { errorChain } from '../../errors.ts';
import { sdNotify } from '../../sys/notify.ts';
import * as ui from '../../ui.ts';

const SHORTEST_PERIOD_MS = 1000;

/** Half of WATCHDOG_USEC in milliseconds, at least one second; undefined when no watchdog watches this process. */
export function watchdogPeriod(env: Record<string, string | undefined> = process.env): number | undefined {
  const microseconds = Number(env['WATCHDOG_USEC'] ?? Number.NaN);
  if (!Number.isFinite(microseconds) || microseconds <= 0) return undefined;
  const pid = env['WATCHDOG_PID'];
  if (pid !== undefined && Number(pid) !== process.pid) return undefined;
  return Math.max(microseconds / 2000, SHORTEST_PERIOD_MS);
}

/**
 * Starts the rounds: a check at once and then every period.
 * @param alive whether a round that went well is told to the service manager (WATCHDOG=1)
 * @returns how to stop
 */
export function startWatchdog(period: number, check: () => Promise<void>, alive = true): () => void {
  let running = false;
  const tick = async () => {
    if (running) return; // a check that hangs must not be covered by the next one
    running = true;
    try {
      await check();
      if (alive) await sdNotify('WATCHDOG=1');
    } catch (thrown) {
      ui.error(`self-check failed${alive ? ', no sign of life is sent' : ''}: ${errorChain(thrown)}`);
    } finally {
      running = false;
    }
  };
  void tick();
  const timer = setInterval(() => void tick(), period);
  return () => clearInterval(timer);
}

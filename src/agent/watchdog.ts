/**
 * The service manager's view of us (sd_notify(3), sd_watchdog_enabled(3)): READY=1 once the sockets of the app answer,
 * then a sign of life that is earned by a real request, so that a hanging agent is restarted.
 */
import * as http from 'node:http';
import { errorChain } from '../errors.ts';
import { sdNotify } from '../sys/notify.ts';
import * as ui from '../ui.ts';
import type { Address } from './address.ts';

const SHORTEST_PERIOD_MS = 1000;
const CHECK_LIMIT_MS = 5000;

/** Half of WATCHDOG_USEC in milliseconds, at least one second; undefined when no watchdog watches this process. */
export function watchdogPeriod(env: Record<string, string | undefined> = process.env): number | undefined {
  const microseconds = Number(env['WATCHDOG_USEC'] ?? Number.NaN);
  if (!Number.isFinite(microseconds) || microseconds <= 0) return undefined;
  const pid = env['WATCHDOG_PID'];
  if (pid !== undefined && Number(pid) !== process.pid) return undefined;
  return Math.max(microseconds / 2000, SHORTEST_PERIOD_MS);
}

/** Asks our own listener for Version over a new connection. @throws when the answer is not 200 in time */
export function selfCheck(address: Address, path: string): Promise<void> {
  const target =
    address.kind === 'unix'
      ? { socketPath: address.path }
      : address.kind === 'tcp'
        ? { host: loopback(address.host), port: address.port }
        : undefined;
  if (target === undefined) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const request = http.get({ ...target, path, agent: false, headers: { connection: 'close' } }, (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`status ${response.statusCode}`)),
      );
      response.on('error', reject);
    });
    request.setTimeout(CHECK_LIMIT_MS, () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
  });
}

const loopback = (host: string): string => (host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host);

/** Tells READY=1. Without a service manager nothing happens. */
export async function tellReady(status: string): Promise<void> {
  try {
    await sdNotify('READY=1', `STATUS=${status}`);
  } catch (thrown) {
    ui.warn(`the service manager was not told that we are ready: ${errorChain(thrown)}`);
  }
}

/** Starts the watchdog: a check at once and then every period. @returns how to stop it */
export function startWatchdog(period: number, check: () => Promise<void>): () => void {
  let running = false;
  const tick = async () => {
    if (running) return; // a check that hangs must not be covered by the next one
    running = true;
    try {
      await check();
      await sdNotify('WATCHDOG=1');
    } catch (thrown) {
      ui.error(`self-check failed, no sign of life is sent: ${errorChain(thrown)}`);
    } finally {
      running = false;
    }
  };
  void tick();
  const timer = setInterval(() => void tick(), period);
  return () => clearInterval(timer);
}

/**
 * The agent's view of itself: every listener is asked in turn, one that does not answer is opened again, and the service
 * manager learns what came out (sd_notify(3)). A listener the app does not need never costs it the ones it does need.
 */
import { DstackError, errorChain } from '../../errors.ts';
import { sdNotify } from '../../sys/notify.ts';
import * as ui from '../../ui.ts';
import type { Listener } from './listener.ts';
import { startWatchdog, watchdogPeriod } from './watchdog.ts';

/** between two rounds when no watchdog asks for more, milliseconds */
const ROUND_MS = 15_000;
const RETRY_MS = 1000;

/** Tells the service manager what is going on; without one nothing happens. */
export async function tellStatus(status: string, ...more: string[]): Promise<void> {
  try {
    await sdNotify(...more, `STATUS=${ui.printable(status)}`);
  } catch (thrown) {
    ui.warn(`the service manager was not told: ${errorChain(thrown)}`);
  }
}

/** Asks every listener. @throws LISTENER_FAILED when one does not answer that the app cannot do without */
export async function checkListeners(listeners: readonly Listener[]): Promise<void> {
  const answers = await Promise.all(listeners.map(async (listener) => ({ listener, reason: await listener.check() })));
  for (const { listener, reason } of answers) {
    if (reason === undefined || !listener.required) continue;
    throw new DstackError('LISTENER_FAILED', `listener ${listener.name} does not answer: ${reason}`, {
      field: listener.name,
    });
  }
}

/** `serving 4 of 4 listeners`, and which ones do not. */
export function summary(listeners: readonly Listener[]): string {
  const broken = listeners.filter((listener) => listener.status().state !== 'listening').map(({ name }) => name);
  const text = `serving ${listeners.length - broken.length} of ${listeners.length} listeners`;
  return broken.length === 0 ? text : `${text}, not: ${broken.join(', ')}`;
}

/** READY=1 once the listeners answer, then a round every now and then, with signs of life if asked for. @returns how to stop */
export async function watch(listeners: readonly Listener[], watchdog: boolean): Promise<() => void> {
  let ready = false;
  let told = '';
  let retry: NodeJS.Timeout | undefined;
  const tell = async (...more: string[]) => {
    const text = summary(listeners);
    if (text === told && more.length === 0) return;
    told = text;
    await tellStatus(text, ...more);
  };
  const untilReady = async (): Promise<void> => {
    try {
      await checkListeners(listeners);
      ready = true;
      await tell('READY=1');
    } catch (thrown) {
      ui.error(`not ready: ${errorChain(thrown)}`);
      retry = setTimeout(() => void untilReady(), RETRY_MS);
    }
  };
  await untilReady();
  const period = watchdog ? watchdogPeriod() : undefined;
  if (watchdog && period === undefined) ui.info('no watchdog is configured for this process (WATCHDOG_USEC)');
  const round = async () => {
    if (!ready) throw new Error('not ready yet');
    await checkListeners(listeners);
    await tell();
  };
  const stop = startWatchdog(period ?? ROUND_MS, round, period !== undefined);
  return () => {
    clearTimeout(retry);
    stop();
  };
}

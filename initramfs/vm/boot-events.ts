/** Waiting for what a guest tells its host. */
import type { HostApi } from '../../simulator/host-api.ts';
import type { HostEvent } from '../../simulator/host-event.ts';
import type { ConsoleLog } from './console.ts';
import type { Ended } from './process.ts';
import { within } from './wait.ts';

export interface EventMatch {
  readonly event: string;
  readonly payload?: string | RegExp;
}

export interface Guest {
  readonly hostApi: HostApi;
  readonly console: ConsoleLog;
  readonly exited: Promise<Ended>;
}

/** Units without which the boot cannot end well. */
const UNIT_FAILED =
  /(?:Failed to start|Dependency failed for) (?:dstack-prepare|dstack-guest-agent|docker|app-compose)\b/;
/** They report their reason to the host before they fail: it may just be on its way. */
const REASON_MS = 5000;

function fits({ event, payload }: HostEvent, match: EventMatch): boolean {
  if (event !== match.event || match.payload === undefined) return event === match.event;
  return typeof match.payload === 'string' ? payload === match.payload : match.payload.test(payload);
}

/**
 * Waits for an event, also a past one. What makes the event impossible ends the waiting at once: the end of the VM and,
 * where an event of the boot is waited for, a boot.error instead of it or a unit that failed. A guest whose boot failed
 * still tells its shutdown.
 */
export async function waitForEvent(guest: Guest, match: EventMatch, timeoutMs: number): Promise<HostEvent> {
  const what = `event ${match.event}${match.payload === undefined ? '' : ` ${match.payload}`}`;
  const ofBoot = !match.event.startsWith('shutdown.');
  const undo: (() => void)[] = [];
  const found = new Promise<HostEvent>((resolve, reject) => {
    const take = (event: HostEvent) => {
      if (fits(event, match)) resolve(event);
      else if (ofBoot && event.event === 'boot.error') reject(new Error(`boot.error: ${event.payload}`));
    };
    const watch = (line: string) => {
      if (!ofBoot || match.event === 'boot.error' || !UNIT_FAILED.test(line)) return;
      const timer = setTimeout(() => reject(new Error(`${what}: ${line.trim()}`)), REASON_MS);
      undo.push(() => clearTimeout(timer));
    };
    for (const event of guest.hostApi.events) take(event);
    for (const line of guest.console.tail(Number.POSITIVE_INFINITY)) watch(line);
    guest.hostApi.on('event', take);
    undo.push(() => guest.hostApi.off('event', take), guest.console.watch(watch));
    void guest.exited.then(({ exit, signal }) => {
      reject(new Error(`${what}: the VM ended first (${signal ?? `exit status ${exit}`})`));
    });
  });
  try {
    return await within(timeoutMs, what, found);
  } finally {
    for (const step of undo) step();
  }
}

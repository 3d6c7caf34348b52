/** sd_notify(3): state messages to the service manager. */
import { native } from './native.ts';

/**
 * Sends e.g. `READY=1`, `WATCHDOG=1`, `STATUS=...` to $NOTIFY_SOCKET.
 * @returns false when the process does not run under a manager that asked for it
 */
export async function sdNotify(...assignments: string[]): Promise<boolean> {
  const path = process.env['NOTIFY_SOCKET'];
  if (!path) return false;
  (await native()).sendDatagram(path, new TextEncoder().encode(assignments.join('\n')));
  return true;
}

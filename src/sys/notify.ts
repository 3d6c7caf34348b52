/** sd_notify(3): state messages to the service manager, and descriptors that it keeps while this process is gone. */
import { native } from './native.ts';

const bytes = (assignments: readonly string[]): Uint8Array => new TextEncoder().encode(assignments.join('\n'));

/**
 * Sends e.g. `READY=1`, `WATCHDOG=1`, `STATUS=...` to $NOTIFY_SOCKET.
 * @returns false when the process does not run under a manager that asked for it
 */
export async function sdNotify(...assignments: string[]): Promise<boolean> {
  const path = process.env['NOTIFY_SOCKET'];
  if (!path) return false;
  (await native()).sendDatagram(path, bytes(assignments));
  return true;
}

/**
 * Has the service manager keep a copy of a descriptor (FDSTORE=1): the next process of this unit gets it back under its
 * name, behind the sockets of socket units (sd_pid_notify_with_fds(3)). It is kept as it is, whatever poll(2) says of it.
 * @param name printable ASCII without a colon, at most 255 characters
 * @returns false when the manager keeps none for this unit ($FDSTORE: `FileDescriptorStoreMax=`)
 */
export async function keepDescriptor(name: string, fd: number): Promise<boolean> {
  const path = process.env['NOTIFY_SOCKET'];
  if (!path || !(Number(process.env['FDSTORE']) > 0)) return false;
  (await native()).sendDatagram(path, bytes(['FDSTORE=1', `FDNAME=${name}`, 'FDPOLL=0']), fd);
  return true;
}

/** Has the service manager close what it keeps under a name. */
export async function dropDescriptor(name: string): Promise<void> {
  await sdNotify('FDSTOREREMOVE=1', `FDNAME=${name}`);
}

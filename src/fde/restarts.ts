/**
 * How often in a row this guest has restarted itself after a failed boot: one sector in front of the data partition.
 *
 * Nothing else survives a restart of a confidential VM: its memory and registers are new, its root is read-only, firmware
 * variables are usually not kept. The host can write the number, and gains nothing by it: it can stop or restart the
 * guest at any time. docs/operating.md says what is counted.
 */

import type { DiskMachine } from './disk-machine.ts';
import { beforePartition, encodeRecord, RECORD_SIZE } from './spare-sector.ts';

/** Bytes of the record. */
export const RESTARTS_SIZE = RECORD_SIZE;
/** In front of the partition; the last 4 KiB there belong to the mark of an unencrypted volume. */
const BEFORE_PARTITION = 8192;
const TITLE = 'dstack restarts 1';
const MAX = 999;

/** The number as a sector: text lines, the last of which is their SHA-256, padded with zeros. */
export const encodeRestarts = (count: number): Uint8Array => encodeRecord(`${TITLE}\ncount ${count}\n`);

/** The number in a sector; 0 for anything that is not exactly such a record. */
export function parseRestarts(bytes: Uint8Array): number {
  const [, digits] = /^.*\ncount ([0-9]{1,3})\n/.exec(Buffer.from(bytes).toString('latin1')) ?? [];
  const count = Number(digits ?? 0);
  return Buffer.from(encodeRestarts(count)).equals(bytes) ? count : 0;
}

/** Restarts so far; undefined where they cannot be counted (no partition, or no room in front of it). @throws FILE_IO */
export async function readRestarts(device: string, machine: DiskMachine): Promise<number | undefined> {
  const found = await beforePartition(device, BEFORE_PARTITION, machine);
  if (found === undefined) return undefined;
  return parseRestarts(await machine.read(found.path, found.at, RESTARTS_SIZE));
}

/** Writes the number; it is on the disk when this returns. Zero leaves an empty sector. @throws FILE_IO */
export async function writeRestarts(device: string, count: number, machine: DiskMachine): Promise<void> {
  const found = await beforePartition(device, BEFORE_PARTITION, machine);
  if (found === undefined) return;
  const bytes = count === 0 ? new Uint8Array(RESTARTS_SIZE) : encodeRestarts(Math.min(count, MAX));
  await machine.write(found.path, [{ at: found.at, bytes }], `note ${count} restarts in front of ${device}`);
}

/** Forgets the restarts after a good boot: one sector read, and written only if there is something to forget. @throws FILE_IO */
export async function forgetRestarts(device: string, machine: DiskMachine): Promise<void> {
  if (((await readRestarts(device, machine)) ?? 0) > 0) await writeRestarts(device, 0, machine);
}

/** Records of our own in sectors of a disk that nothing else uses: how one looks, and where there is room for it. */
import { createHash } from 'node:crypto';
import type { DiskMachine } from './disk-machine.ts';
import { partitionOf, partitions, SECTOR } from './sysfs.ts';

/** Bytes of a record: one sector is written completely or not at all. */
export const RECORD_SIZE = 512;
/** Everything in front of this may belong to a partition table. */
const TABLE_END = 128 * 1024;

export interface Place {
  readonly path: string;
  /** byte offset */
  readonly at: number;
}

/** A record as a sector: its text (whole lines), a line with the SHA-256 of that, padded with zeros. */
export function encodeRecord(text: string): Uint8Array {
  const bytes = Buffer.alloc(RECORD_SIZE);
  bytes.write(`${text}sha256 ${createHash('sha256').update(text).digest('hex')}\n`, 'latin1');
  return bytes;
}

/**
 * The place `distance` bytes in front of the partition of a data device; undefined when there is no partition, or when
 * that place may belong to a partition table or to another partition.
 */
export async function beforePartition(
  device: string,
  distance: number,
  machine: DiskMachine,
): Promise<Place | undefined> {
  const part = await partitionOf(device, machine);
  if (part === undefined) return undefined;
  const at = part.start * SECTOR - distance;
  const inside = (other: { disk: string; start: number; size: number }): boolean =>
    other.disk === part.disk && other.start < part.start && (other.start + other.size) * SECTOR > at;
  if (at < TABLE_END || (await partitions(machine)).some(inside)) return undefined;
  return { path: `${machine.dev}/${part.disk}`, at };
}

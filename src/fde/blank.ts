/**
 * The proof that a device holds nothing. Only a device that passes is ever formatted without a mark of our own, so the
 * rule leans to the safe side: a blank disk image passes, anything that might be data does not.
 *
 * A device is blank when all of these read as zero: its first 32 MiB (every partition table, LUKS header, RAID and file
 * system superblock at the front, and the place where the payload of our own volumes begins), its last 4 MiB (the backup
 * partition table, the ZFS and RAID labels at the end) and 256 windows of 64 KiB spread evenly between the two.
 * A device of up to 52 MiB is therefore read completely. The cost is bounded: 52 MiB, however large the disk is.
 */
import { readSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { DstackError } from '../errors.ts';

const MIB = 1024 * 1024;
const HEAD = 32 * MIB;
const TAIL = 4 * MIB;
const WINDOW = 64 * 1024;
const WINDOWS = 256;

const ZEROS = Buffer.alloc(MIB);

/** The byte ranges `[start, end)` of a device of `size` bytes that are looked at, in ascending order. */
export function probeRanges(size: number): [number, number][] {
  const between = size - HEAD - TAIL;
  if (between <= WINDOWS * WINDOW) return [[0, size]];
  const ranges: [number, number][] = [[0, HEAD]];
  for (let i = 0; i < WINDOWS; i++) {
    // window i lies in the middle of slice i, aligned to 4 KiB
    const middle = HEAD + Math.floor(((i + 0.5) * between) / WINDOWS) - WINDOW / 2;
    const start = Math.floor(middle / 4096) * 4096;
    ranges.push([start, start + WINDOW]);
  }
  ranges.push([size - TAIL, size]);
  return ranges;
}

/**
 * Looks for the first non-zero byte of a device or file within the ranges above.
 * @param size bytes; an empty device is an error, not a blank disk
 * @returns its offset in bytes, or undefined when the device is blank
 * @throws FILE_IO when the device cannot be read: unreadable is not blank
 */
export async function firstData(path: string, size: number): Promise<number | undefined> {
  let handle: fs.FileHandle | undefined;
  try {
    if (size <= 0) throw new Error('the device has no size');
    handle = await fs.open(path, 'r');
    const buffer = Buffer.alloc(MIB);
    for (const [start, end] of probeRanges(size)) {
      for (let at = start; at < end; ) {
        // synchronous: the hops through the thread pool cost more than the reads, threefold under software emulation
        const bytesRead = readSync(handle.fd, buffer, 0, Math.min(MIB, end - at), at);
        if (bytesRead === 0) throw new Error(`the device ends at ${at} instead of ${size}`);
        const read = buffer.subarray(0, bytesRead);
        if (!read.equals(ZEROS.subarray(0, bytesRead))) return at + read.findIndex((byte) => byte !== 0);
        at += bytesRead;
      }
    }
    return undefined;
  } catch (thrown) {
    throw new DstackError('FILE_IO', `cannot read ${path} to see whether it is blank`, { path, cause: thrown });
  } finally {
    await handle?.close();
  }
}

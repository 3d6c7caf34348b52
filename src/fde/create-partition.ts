/** Gives a blank disk its data partition (dstack boot order, data device). */
import { randomUUID } from 'node:crypto';
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import type { DiskMachine } from './disk-machine.ts';
import { newGpt } from './gpt.ts';
import { claimDisk } from './marks.ts';
import { nodeAppears, settle } from './nodes.ts';
import { blockSize, kernelName, partitions, sizeInBytes } from './sysfs.ts';

export const DATA_LABEL = 'dstack-data';
/** Where the partition begins, bytes. */
export const DATA_START = 1024 * 1024;
/** A smaller disk has no room for header area, file system and table. */
const SMALLEST = 24 * 1024 * 1024;
const TIMEOUT_MS = 10_000;

/**
 * Creates one GPT partition over the whole disk, named dstack-data, marked as initialising from its first moment.
 * The caller has proven that the disk is blank, or that an interrupted boot had claimed it.
 * @returns the device node of the partition
 * @throws DISK_NOT_FOUND when the disk is too small or the kernel does not show the partition, FILE_IO
 */
export async function createDataPartition(disk: string, machine: DiskMachine): Promise<string> {
  const size = await sizeInBytes(disk, machine);
  if (size < SMALLEST) {
    throw new DstackError('DISK_NOT_FOUND', `disk ${disk} of ${size} bytes is too small for a volume`, { path: disk });
  }
  await claimDisk(disk, DATA_START, randomUUID(), machine);
  const name = await kernelName(disk);
  for (const step of newGpt(size, await blockSize(name, machine), DATA_LABEL)) {
    await machine.write(disk, step, `write a partition table with ${DATA_LABEL} to ${disk}`);
  }
  if (isDryRun()) return `${machine.dev}/${name}${/\d$/.test(name) ? 'p' : ''}1`;

  await machine.run('blockdev', ['--rereadpt', disk], { ok: [0, 1] });
  for (let end = Date.now() + TIMEOUT_MS, pause = 50; ; pause *= 2) {
    await settle(machine);
    const part = (await partitions(machine)).find((entry) => entry.disk === name && entry.number === 1);
    if (part !== undefined) {
      await nodeAppears(part.path, machine);
      return part.path;
    }
    if (Date.now() >= end) {
      throw new DstackError('DISK_NOT_FOUND', `the kernel does not show the new partition of ${disk}`, { path: disk });
    }
    // udev may have held the disk at that moment
    await new Promise((resolve) => setTimeout(resolve, pause));
    await machine.run('blockdev', ['--rereadpt', disk], { ok: [0, 1] });
  }
}

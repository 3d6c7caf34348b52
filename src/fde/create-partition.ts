/** Gives a blank disk its data partition (dstack boot order, data device). */
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { BITS } from './marks.ts';
import { nodeAppears, settle } from './nodes.ts';
import { type Surface, SYSTEM } from './surface.ts';
import { kernelName, partitions } from './sysfs.ts';

export const DATA_LABEL = 'dstack-data';
const DATA_TYPE = '8300'; // Linux filesystem
const LIMIT_MS = 10_000;

/**
 * Creates one GPT partition over the whole disk, named dstack-data, marked as initialising from its first moment.
 * The caller has proven that the disk is blank.
 * @returns the device node of the partition
 * @throws COMMAND_FAILED, DISK_NOT_FOUND when the kernel does not show the partition
 */
export async function createDataPartition(disk: string, surface: Surface = SYSTEM): Promise<string> {
  const layout = ['--clear', '-n', '1:1MiB:0', '-c', `1:${DATA_LABEL}`, '-t', `1:${DATA_TYPE}`];
  await surface.run('sgdisk', [...layout, '-A', `1:set:${BITS.initialising}`, disk]);
  const name = await kernelName(disk);
  if (isDryRun()) return `${surface.dev}/${name}${/\d$/.test(name) ? 'p' : ''}1`;

  for (let end = Date.now() + LIMIT_MS, pause = 50; ; pause *= 2) {
    await settle(surface);
    const part = (await partitions(surface)).find((entry) => entry.disk === name && entry.number === 1);
    if (part !== undefined) {
      await nodeAppears(part.path, surface);
      return part.path;
    }
    if (Date.now() >= end) {
      throw new DstackError('DISK_NOT_FOUND', `the kernel does not show the new partition of ${disk}`, { path: disk });
    }
    // sgdisk has asked already; ask again, since udev may have held the disk at that moment
    await surface.run('blockdev', ['--rereadpt', disk], { ok: [0, 1] });
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

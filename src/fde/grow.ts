/** Makes a data partition use all of a disk that has become larger. Nothing here is fatal: the smaller size still works. */
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import * as ui from '../ui.ts';
import type { DiskMachine } from './disk-machine.ts';
import { entryRange, grownGpt, readGpt } from './gpt.ts';
import { waitForNode } from './nodes.ts';
import { blockSize, type Partition, partition, partitionOf, SECTOR, sectors } from './sysfs.ts';

/** Less free space behind the partition is not worth a write: the backup GPT (33 sectors) and the rounding to 1 MiB. */
const SLACK = 2 * 2048;

/**
 * Grows the partition behind a device to the end of its disk, if there is something to gain. Must run before the
 * volume is opened (the LUKS mapping takes the size of the partition at that moment); it also works on a partition in
 * use, whose mapping then grows with `growOpenVolume` or at the next boot. A power cut leaves the old or the new table.
 * @returns true when the partition became larger
 */
export async function growPartition(device: string, machine: DiskMachine): Promise<boolean> {
  try {
    const part = await partitionOf(device, machine);
    if (part === undefined) return false; // a whole disk has no partition to grow
    const gain = (await sectors(part.disk, machine)) - (part.start + part.size);
    if (gain <= SLACK) return false;
    await grow(part, machine);
    await waitForNode(device, machine);
    ui.info(`${device}: partition grown by ${Math.floor((gain * SECTOR) / 1024 / 1024)} MiB`);
    return true;
  } catch (thrown) {
    ui.warn(`${device}: the partition keeps its size: ${errorChain(thrown)}`);
    return false;
  }
}

async function grow(part: Partition, machine: DiskMachine): Promise<void> {
  const disk = `${machine.dev}/${part.disk}`;
  const block = await blockSize(part.disk, machine);
  const size = (await sectors(part.disk, machine)) * SECTOR;
  const gpt = await readGpt((at, length) => machine.read(disk, at, length), block);
  const range = gpt && entryRange(gpt, part.number);
  if (gpt === undefined || range === undefined || range.first * block !== part.start * SECTOR) {
    throw new DstackError('DISK_NOT_BLANK', `${disk} has no partition table that names ${part.name}`, { path: disk });
  }
  const steps = grownGpt(gpt, part.number, size);
  if (steps === undefined) {
    throw new DstackError('DISK_NOT_BLANK', `the partition table of ${disk} has no room for a larger ${part.name}`, {
      path: disk,
    });
  }
  for (const step of steps) await machine.write(disk, step, `grow ${part.name} in the partition table of ${disk}`);
  // udev may have made the kernel read the table again by now: the node goes and comes back with its new size
  await waitForNode(part.path, machine);
  if (await isLarger(part, machine)) return;
  // resizes what the kernel knows without letting go of the partition, so it may be in use
  await machine.run('partx', ['--update', '--nr', String(part.number), disk], { ok: [0, 1] });
  if (!isDryRun() && !(await isLarger(part, machine))) {
    throw new DstackError('COMMAND_FAILED', `the kernel does not show the new size of ${part.name}`, { path: disk });
  }
}

const isLarger = async (part: Partition, machine: DiskMachine): Promise<boolean> =>
  ((await partition(part.name, machine))?.size ?? 0) > part.size;

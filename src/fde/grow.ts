/** Makes a data partition use all of a disk that has become larger. Nothing here is fatal: the smaller size still works. */
import { DstackError, errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { waitForNode } from './nodes.ts';
import { type Surface, SYSTEM } from './surface.ts';
import { type Partition, partitionOf, SECTOR, sectors } from './sysfs.ts';

/** Less free space behind the partition is not worth a write: the backup GPT (33 sectors) and the rounding to 1 MiB. */
const SLACK = 2 * 2048;

/**
 * Grows the partition behind a device to the end of its disk, if there is something to gain. Must run before the
 * volume is opened (the LUKS mapping takes the size of the partition at that moment); it also works on a partition in
 * use, whose mapping then grows at the next boot.
 * @returns true when the partition became larger
 */
export async function growPartition(device: string, surface: Surface = SYSTEM): Promise<boolean> {
  try {
    const part = await partitionOf(device, surface);
    if (part === undefined) return false; // a whole disk has no partition to grow
    const gain = (await sectors(part.disk, surface)) - (part.start + part.size);
    if (gain <= SLACK) return false;
    await grow(part, surface);
    await waitForNode(device, surface);
    ui.info(`${device}: partition grown by ${Math.floor((gain * SECTOR) / 1024 / 1024)} MiB`);
    return true;
  } catch (thrown) {
    ui.warn(`${device}: the partition keeps its size: ${errorChain(thrown)}`);
    return false;
  }
}

async function grow(part: Partition, surface: Surface): Promise<void> {
  const disk = `${surface.dev}/${part.disk}`;
  // the backup table moves to the new end first, or parted stops with a question about it
  await surface.run('sgdisk', ['-e', disk]);
  const resize = [disk, 'resizepart', String(part.number), '100%'];
  try {
    await surface.run('parted', ['--script', ...resize]);
  } catch (thrown) {
    if (!(thrown instanceof DstackError) || !errorChain(thrown).includes('being used')) throw thrown;
    // --script answers "no" to "partition is being used, continue?": the question must be answered in its own words
    await surface.run('parted', ['---pretend-input-tty', ...resize], { stdin: 'Yes\n' });
  }
  // fails (BLKRRPART, EBUSY) when the partition is in use; parted has told the kernel the new size then
  await surface.run('blockdev', ['--rereadpt', disk], { ok: [0, 1] });
}

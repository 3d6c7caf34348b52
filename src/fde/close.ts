/** Lets go of the data disk before power-off: every step is tried, whatever became of the one before. */
import { DstackError, errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { closeLuks } from './luks.ts';
import { type Surface, SYSTEM } from './surface.ts';
import { swapOff } from './swap.ts';
import { exportZfs } from './zfs.ts';

/**
 * Stops swapping, unmounts, exports the pool and closes the mapping. What is not there is passed over.
 * Each step is bounded (swap 5 min, the others 1 min).
 * @throws the error of the last step, closing the mapping; earlier failures are warnings
 */
export async function closeDataDisk({ mountPoint }: { mountPoint: string }, surface: Surface = SYSTEM): Promise<void> {
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (thrown) {
      ui.warn(`${what}: ${errorChain(thrown)}`);
    }
  };
  await attempt('swap', () => swapOff(mountPoint, surface));
  await attempt('unmount', () => unmount(mountPoint, surface));
  await attempt('pool', () => exportZfs(surface));
  try {
    await closeLuks(surface);
  } catch (thrown) {
    throw new DstackError('COMMAND_FAILED', 'the encrypted volume is still in use', {
      path: mountPoint,
      cause: thrown,
      hint: 'stop what uses it (containers, open files, bind mounts), then try again',
    });
  }
}

/** Unmounts an ext4 mount; datasets of ZFS are unmounted by the export. */
async function unmount(mountPoint: string, surface: Surface): Promise<void> {
  const stacked = (await surface.mounts()).filter((entry) => entry.mountPoint === mountPoint && entry.type !== 'zfs');
  for (const _ of stacked) await surface.run('umount', [mountPoint], { timeout: 60_000 });
}

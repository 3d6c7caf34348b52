/** Lets go of the data disk before power-off: every step is tried, whatever became of the one before. */
import { DstackError, errorChain } from '../errors.ts';
import type { MountEntry } from '../sys/mounts.ts';
import * as ui from '../ui.ts';
import { type DiskMachine, topMount } from './disk-machine.ts';
import { closeLuks, mapperPath } from './luks.ts';
import { swapOff } from './swap.ts';
import { exportZfs, POOL } from './zfs.ts';

/**
 * Stops swapping, unmounts, exports the pool and closes the mapping. What is not there is passed over.
 * Each step is bounded (swap 5 min, the others 1 min).
 * @throws the error of the last step, closing the mapping; earlier failures are warnings
 */
export async function closeDataDisk({ mountPoint }: { mountPoint: string }, machine: DiskMachine): Promise<void> {
  const attempt = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (thrown) {
      ui.warn(`${what}: ${errorChain(thrown)}`);
    }
  };
  await attempt('swap', () => swapOff(mountPoint, machine));
  await attempt('unmount', () => unmount(mountPoint, machine));
  await attempt('pool', () => exportZfs(machine));
  try {
    await closeLuks(machine);
  } catch (thrown) {
    throw new DstackError('COMMAND_FAILED', 'the encrypted volume is still in use', {
      path: mountPoint,
      cause: thrown,
      hint: 'stop what uses it (containers, open files, bind mounts), then try again',
    });
  }
}

/**
 * Unmounts the volume wherever it is visible: the handover binds parts of it to other places, and each of them keeps the
 * mapping busy. The latest mount goes first; one that cannot go does not keep the others. ZFS's own mount is left to the
 * export, which may use force.
 */
async function unmount(mountPoint: string, machine: DiskMachine): Promise<void> {
  const device = (await topMount(mountPoint, machine))?.device;
  const ours = (entry: MountEntry): boolean =>
    entry.type === 'zfs'
      ? entry.source.startsWith(`${POOL}/`) && entry.mountPoint !== mountPoint
      : entry.source === mapperPath(machine) || entry.device === device;
  const stuck = new Set<string>();
  const next = async () => (await machine.mounts()).findLast((entry) => ours(entry) && !stuck.has(entry.mountPoint));
  for (let entry = await next(); entry !== undefined; entry = await next()) {
    try {
      await machine.run('umount', [entry.mountPoint], { timeoutMs: 60_000 });
    } catch (thrown) {
      stuck.add(entry.mountPoint);
      ui.warn(`unmount ${entry.mountPoint}: ${errorChain(thrown)}`);
    }
  }
}

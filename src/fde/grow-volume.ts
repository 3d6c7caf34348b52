/** Grows a volume by hand: partition, mapping and file system, as far as the volume is open. */
import { DstackError } from '../errors.ts';
import type { DataDiskOptions } from './data-disk.ts';
import { type DiskMachine, topMount } from './disk-machine.ts';
import { growPartition } from './grow.ts';
import { mappedDevice, mapperPath, resizeLuks } from './luks.ts';
import { kernelName } from './sysfs.ts';
import { POOL } from './zfs.ts';

const TIMEOUT_MS = 3_600_000;

/**
 * Makes everything as large as the disk has become; where nothing is to be gained nothing is done.
 * @returns what was done, in words
 * @throws DISK_NOT_FOUND, LUKS_HEADER_REJECTED, LUKS_KEY_WRONG, LUKS_OPEN_FAILED, FS_MOUNT_FAILED
 */
export async function growVolume(
  { device, key, fs, mountPoint }: Pick<DataDiskOptions, 'device' | 'key' | 'fs' | 'mountPoint'>,
  machine: DiskMachine,
): Promise<string> {
  if (!(await machine.isBlockDevice(device))) {
    throw new DstackError('DISK_NOT_FOUND', `${device} is not a block device`, { path: device });
  }
  const partition = (await growPartition(device, machine)) ? 'partition grown' : 'partition as large as it can be';
  if ((await mappedDevice(machine)) !== (await kernelName(device))) return `${partition}, volume not open`;
  await resizeLuks(device, key, machine);
  const mapper = mapperPath(machine);
  const failure = { code: 'FS_MOUNT_FAILED', timeoutMs: TIMEOUT_MS } as const;
  if (fs === 'zfs') await machine.run('zpool', ['online', '-e', POOL, mapper], failure);
  else if ((await topMount(mountPoint, machine)) !== undefined) await machine.run('resize2fs', [mapper], failure);
  else return `${partition}, mapping grown, file system not mounted`;
  return `${partition}, mapping and file system grown`;
}

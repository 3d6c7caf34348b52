/** Grows a volume by hand: partition, mapping and file system, as far as the volume is open. */
import { DstackError } from '../errors.ts';
import type { DataDiskOptions } from './data-disk.ts';
import { mountAt, type Surface, SYSTEM } from './disk-machine.ts';
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
  surface: Surface = SYSTEM,
): Promise<string> {
  if (!(await surface.isBlockDevice(device))) {
    throw new DstackError('DISK_NOT_FOUND', `${device} is no block device`, { path: device });
  }
  const partition = (await growPartition(device, surface)) ? 'partition grown' : 'partition as large as it can be';
  if ((await mappedDevice(surface)) !== (await kernelName(device))) return `${partition}, volume not open`;
  await resizeLuks(device, key, surface);
  const mapper = mapperPath(surface);
  const failure = { code: 'FS_MOUNT_FAILED', timeout: TIMEOUT_MS } as const;
  if (fs === 'zfs') await surface.run('zpool', ['online', '-e', POOL, mapper], failure);
  else if ((await mountAt(mountPoint, surface)) !== undefined) await surface.run('resize2fs', [mapper], failure);
  else return `${partition}, mapping grown, file system not mounted`;
  return `${partition}, mapping and file system grown`;
}

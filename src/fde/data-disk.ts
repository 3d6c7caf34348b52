/**
 * The data disk from the point of view of the boot: open it, making it first when (and only when) nothing can be lost.
 * What is formatted and what is refused is decided in decide.ts; docs/disk.md has the same table in words.
 */
import { randomUUID } from 'node:crypto';
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import * as ui from '../ui.ts';
import { notBlank } from './choose-disk.ts';
import { type Content, deviceContent, fileSystemType } from './content.ts';
import { decide } from './decide.ts';
import { mountAt, type Surface, SYSTEM } from './disk-machine.ts';
import { createExt4, mountExt4, syncExt4 } from './ext4.ts';
import { closeLuks, createLuks, mappedDevice, mapperPath, openLuks, testKey } from './luks.ts';
import { type Mark, marksContent, readMark, writeMark } from './marks.ts';
import type { FileSystem } from './storage-options.ts';
import { kernelName } from './sysfs.ts';
import { createZfs, DATASET, exportZfs, mountZfs, syncZfs } from './zfs.ts';

export { closeDataDisk } from './close.ts';

export interface DataDiskOptions {
  /** partition or whole disk, from chooseDataDevice */
  readonly device: string;
  readonly mountPoint: string;
  readonly fs: FileSystem;
  readonly encrypted: boolean;
  /** disk_crypt_key, 32 bytes; the caller wipes it. Not used when the disk is not encrypted */
  readonly key: Uint8Array;
  /** the keys end with this boot (key provider none) */
  readonly ephemeral: boolean;
  /** called once, with the words of the host notification: `initializing data disk` or `mounting data disk` */
  readonly onStep?: (text: string) => void;
}

export interface DataDisk {
  /** path of the mapping, absent when the disk is not encrypted */
  readonly mapper?: string;
  readonly action: 'initialised' | 'mounted' | 'reformatted-ephemeral';
}

/**
 * Opens the data disk and mounts its file system.
 * @throws DISK_NOT_FOUND, DISK_NOT_BLANK, DISK_FOREIGN, LUKS_HEADER_REJECTED, LUKS_KEY_WRONG, LUKS_OPEN_FAILED,
 * FS_CREATE_FAILED, FS_CHECK_FAILED, FS_MOUNT_FAILED; in all these cases except FS_* nothing was changed
 */
export async function openDataDisk(options: DataDiskOptions, surface: Surface = SYSTEM): Promise<DataDisk> {
  const { device, encrypted } = options;
  if (encrypted) await refuseOpenMapping(device, surface);
  const { content, mark } = await look(device, encrypted, surface);
  const action = decide(options, content, mark);
  options.onStep?.(action === 'mounted' ? 'mounting data disk' : 'initializing data disk');
  return action === 'mounted' ? mountExisting(options, surface) : initialise(options, action, mark, content, surface);
}

/**
 * Opens and mounts a volume that must be there; never formats. A volume that is open already is left as it is, if the
 * key is its key. @throws as openDataDisk
 */
export async function mountExisting(options: DataDiskOptions, surface: Surface = SYSTEM): Promise<DataDisk> {
  const { device, encrypted, mountPoint, fs } = options;
  if (!isDryRun() && !(await surface.isBlockDevice(device))) {
    throw new DstackError('DISK_NOT_FOUND', `${device} is no block device`, { path: device });
  }
  const target = encrypted ? await openOnce(device, options.key, surface) : device;
  const done = { ...(encrypted ? { mapper: target } : {}), action: 'mounted' } as const;
  if ((await mountAt(mountPoint, surface)) !== undefined && (await mountedFrom(target, mountPoint, surface)))
    return done;
  await closeOnFailure(surface, () =>
    fs === 'zfs' ? mountPool(target, mountPoint, surface) : mountChecked(target, mountPoint, surface),
  );
  return done;
}

/**
 * Makes a volume on a blank device, or on one whose first format was interrupted. One that is there already and belongs
 * to the same key is left as it is: its action is `mounted`. @throws DISK_NOT_BLANK, FS_*
 */
export async function formatDataDisk(options: DataDiskOptions, surface: Surface = SYSTEM): Promise<DataDisk> {
  await refuseOpenMapping(options.device, surface);
  const { content, mark } = await look(options.device, options.encrypted, surface);
  if (content.kind === 'blank' || mark?.initialising) return initialise(options, 'initialised', mark, content, surface);
  const refusal = notBlank(options.device, content.kind === 'unknown' ? content.seen : `a ${content.kind} volume`);
  if (content.kind !== 'luks') throw refusal;
  return mountExisting(options, surface).catch(() => {
    throw refusal;
  });
}

/** What a device holds, and its mark if that mark was made for it. */
async function look(
  device: string,
  encrypted: boolean,
  surface: Surface,
): Promise<{ content: Content; mark: Mark | undefined }> {
  const mark = await readMark(device, encrypted, surface);
  const content = await deviceContent(device, surface, { unfinished: mark?.initialising === true });
  return { content, mark: marksContent(mark, content, encrypted) ? mark : undefined };
}

/** The mapping has one name: two volumes cannot be open at once. @throws LUKS_OPEN_FAILED */
export async function refuseOpenMapping(device: string, surface: Surface = SYSTEM): Promise<void> {
  const path = mapperPath(surface);
  if (!(await surface.isBlockDevice(path))) return;
  throw new DstackError('LUKS_OPEN_FAILED', `${path} is open already`, {
    path: device,
    hint: 'close it first: dstack-util fde close',
  });
}

/** True if exactly this volume is open. */
export async function isOpen(device: string, surface: Surface = SYSTEM): Promise<boolean> {
  const open = await mappedDevice(surface);
  return open !== undefined && open === (await kernelName(device));
}

/** Opens the volume unless exactly this one is open already. */
async function openOnce(device: string, key: Uint8Array, surface: Surface): Promise<string> {
  if (!(await isOpen(device, surface))) {
    await refuseOpenMapping(device, surface);
    return openLuks(device, key, surface);
  }
  await testKey(device, key, surface);
  return mapperPath(surface);
}

async function mountedFrom(target: string, mountPoint: string, surface: Surface): Promise<boolean> {
  const source = (await mountAt(mountPoint, surface))?.source ?? '';
  return source === target || source === DATASET;
}

/** Marks, formats, mounts, and only then says on the disk that the volume is ready. docs/disk.md has the states. */
async function initialise(
  options: DataDiskOptions,
  action: 'initialised' | 'reformatted-ephemeral',
  mark: Mark | undefined,
  content: Content,
  surface: Surface,
): Promise<DataDisk> {
  const { device, encrypted, key, fs, mountPoint } = options;
  const ephemeral = encrypted && options.ephemeral;
  const uuid = mark?.uuid ?? randomUUID();
  // a later attempt keeps the UUID: the header that an earlier one left must stay known as unfinished
  if (mark === undefined && !(await writeMark(device, encrypted, { initialising: true, ephemeral, uuid }, surface))) {
    throw noRoom(device);
  }
  const ready = async (): Promise<void> => {
    if (action === 'initialised') await writeMark(device, encrypted, { initialising: false, ephemeral, uuid }, surface);
  };
  if (!encrypted) {
    // an unfinished file system that can be mounted is finished: without a key nothing else tells whose it is
    if (content.kind === fs && (await finished(options, surface))) {
      await ready();
      return { action };
    }
    await surface.run('wipefs', ['--all', '--quiet', device]);
  }
  const target = encrypted ? await createLuks(device, key, uuid, surface) : device;
  await closeOnFailure(surface, async () => {
    await (fs === 'zfs' ? createZfs : createExt4)(target, mountPoint, surface);
    await (fs === 'zfs' ? syncZfs(surface) : syncExt4(mountPoint, surface));
  });
  await ready();
  return { ...(encrypted ? { mapper: target } : {}), action };
}

async function finished(options: DataDiskOptions, surface: Surface): Promise<boolean> {
  try {
    await mountExisting(options, surface);
    return true;
  } catch (thrown) {
    ui.info(`${options.device}: the unfinished file system is made anew: ${errorChain(thrown)}`);
    return false;
  }
}

/** Runs `work` on an open volume; when it fails, pool and mapping are given back as far as possible. */
async function closeOnFailure(surface: Surface, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    // the first error is the one to tell; what stays open is in use and shows in the next attempt
    await exportZfs(surface).catch(() => {});
    await closeLuks(surface).catch(() => {});
    throw thrown;
  }
}

function noRoom(device: string): DstackError {
  return new DstackError('STORAGE_OPTION_INVALID', `${device} has no room for the mark of an unfinished volume`, {
    path: device,
    hint: 'name a partition with free space in front of it, or a blank disk that dstack-util prepare may partition',
  });
}

/** e2fsck would repair what it takes for ext4, so the type is known before. */
async function mountChecked(target: string, mountPoint: string, surface: Surface): Promise<void> {
  await expectFileSystem(target, 'ext4', surface);
  await mountExt4(target, mountPoint, surface);
}

/** Saves the question where the answer is no surprise: a process costs a twentieth of a later boot. */
async function mountPool(target: string, mountPoint: string, surface: Surface): Promise<void> {
  if (!isDryRun() && (await looksLikeExt4(target, surface))) await expectFileSystem(target, 'zfs', surface);
  try {
    await mountZfs(target, mountPoint, surface);
  } catch (thrown) {
    await expectFileSystem(target, 'zfs', surface);
    throw thrown;
  }
}

/** The magic number of ext2 to ext4 (kernel documentation, ext4 super block): ZFS labels of an earlier life may survive. */
async function looksLikeExt4(target: string, surface: Surface): Promise<boolean> {
  try {
    return Buffer.from(await surface.read(target, 1024 + 56, 2)).toString('hex') === '53ef';
  } catch {
    return true; // unreadable: blkid and zpool say what is wrong
  }
}

/** Says in plain words what mount would only fail at. */
async function expectFileSystem(device: string, fs: FileSystem, surface: Surface): Promise<void> {
  const type = await fileSystemType(device, surface);
  // no answer is no verdict: libblkid needs several ZFS uberblocks before it is sure
  if (type === '' || type === (fs === 'zfs' ? 'zfs_member' : 'ext4')) return;
  throw new DstackError('FS_MOUNT_FAILED', `the volume on ${device} holds ${type}, not ${fs}`, {
    path: device,
    field: 'storage_fs',
    value: fs,
    hint: 'storage_fs must stay what it was when the volume was made',
  });
}

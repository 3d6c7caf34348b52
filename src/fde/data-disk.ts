/**
 * The data disk from the point of view of the boot: open it, making it first when (and only when) nothing can be lost.
 * What is formatted and what is refused is decided in one place, `decide`; docs/disk.md has the same table in words.
 */
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import { notBlank } from './choose-disk.ts';
import { type Content, deviceContent, fileSystemType } from './content.ts';
import { createExt4, mountExt4, syncExt4 } from './ext4.ts';
import { closeLuks, formatLuks, mapperPath, openLuks } from './luks.ts';
import { type Marks, readMarks, writeMarks } from './marks.ts';
import type { FileSystem } from './storage-options.ts';
import { type Surface, SYSTEM } from './surface.ts';
import { createZfs, exportZfs, mountZfs, syncZfs } from './zfs.ts';

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
  const { device } = options;
  if (options.encrypted) await refuseOpenMapping(device, surface);
  const marks = await readMarks(device, surface);
  // a volume that was never ready counts as blank: no need to read what the interrupted boot left
  const content: Content = marks?.initialising ? { kind: 'blank' } : await deviceContent(device, surface);
  const action = decide(options, content, marks);
  options.onStep?.(action === 'mounted' ? 'mounting data disk' : 'initializing data disk');
  return action === 'mounted' ? mountExisting(options, surface) : initialise(options, action, marks, surface);
}

/** Opens and mounts a volume that must be there; never formats. @throws as openDataDisk */
export async function mountExisting(options: DataDiskOptions, surface: Surface = SYSTEM): Promise<DataDisk> {
  const { device, encrypted, mountPoint, fs } = options;
  if (encrypted) await refuseOpenMapping(device, surface);
  const target = encrypted ? await openLuks(device, options.key, surface) : device;
  await closeOnFailure(surface, async () => {
    await expectFileSystem(target, fs, surface);
    await (fs === 'zfs' ? mountZfs : mountExt4)(target, mountPoint, surface);
  });
  return { ...(encrypted ? { mapper: target } : {}), action: 'mounted' };
}

/** Makes a volume on a blank device, or on one whose first format was interrupted. @throws DISK_NOT_BLANK, FS_* */
export async function formatDataDisk(options: DataDiskOptions, surface: Surface = SYSTEM): Promise<DataDisk> {
  await refuseOpenMapping(options.device, surface);
  const marks = await readMarks(options.device, surface);
  const content = await deviceContent(options.device, surface);
  if (content.kind !== 'blank' && !marks?.initialising) {
    throw notBlank(options.device, content.kind === 'unknown' ? content.seen : `a ${content.kind} volume`);
  }
  return initialise(options, 'initialised', marks, surface);
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

/** Formats, mounts, and only then says so on the disk. */
async function initialise(
  { device, encrypted, key, ephemeral, fs, mountPoint }: DataDiskOptions,
  action: 'initialised' | 'reformatted-ephemeral',
  marks: Marks | undefined,
  surface: Surface,
): Promise<DataDisk> {
  if (marks === undefined) {
    ui.warn(`${device} is no GPT partition: if this first boot is interrupted, the disk must be blanked by hand`);
  } else if (action === 'initialised' && !marks.initialising) {
    await writeMarks(device, { initialising: true, ephemeral: false }, surface);
  }
  let target = device;
  if (encrypted) {
    await formatLuks(device, key, surface);
    target = await openLuks(device, key, surface);
  } else {
    await surface.run('wipefs', ['--all', '--quiet', device]); // what an interrupted first boot left behind
  }
  await closeOnFailure(surface, async () => {
    await (fs === 'zfs' ? createZfs : createExt4)(target, mountPoint, surface);
    await (fs === 'zfs' ? syncZfs(surface) : syncExt4(mountPoint, surface));
  });

  if (marks !== undefined && action === 'initialised') {
    await writeMarks(device, { initialising: false, ephemeral: encrypted && ephemeral }, surface);
  }
  return { ...(encrypted ? { mapper: target } : {}), action };
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

/**
 * The rule. A volume is made anew only if it was never ready, if its keys are known to be gone, or if the device is
 * blank. Everything else is opened as it is or refused.
 */
export function decide(
  { device, encrypted, ephemeral, fs }: Pick<DataDiskOptions, 'device' | 'encrypted' | 'ephemeral' | 'fs'>,
  content: Content,
  marks: Marks | undefined,
): DataDisk['action'] {
  if (marks?.initialising) return 'initialised';
  // throw-away keys on both sides: nothing is lost, also when the last such boot was interrupted while formatting
  const leftover = content.kind === 'luks' || (content.kind === 'unknown' && content.foreign === false);
  if (marks?.ephemeral && encrypted && ephemeral && leftover) return 'reformatted-ephemeral';
  switch (content.kind) {
    case 'unknown':
      throw notBlank(device, content.seen);
    case 'blank':
      if (marks === undefined && encrypted && ephemeral) throw needsPartition(device, 'a volume with throw-away keys');
      // zpool would partition the whole disk its own way, and not be found there again
      if (marks === undefined && !encrypted && fs === 'zfs') throw needsPartition(device, 'an unencrypted zfs volume');
      return 'initialised';
    case 'luks':
      if (!encrypted) throw notBlank(device, 'an encrypted volume, but dstack.storage_encrypted is off');
      if (ephemeral) throw foreign(device, 'an encrypted volume that keys of key provider none cannot open', undefined);
      if (marks?.ephemeral) {
        throw foreign(
          device,
          'a volume whose keys ended with the boot that made it',
          'nobody can open this volume any more: attach a blank disk, or let the host blank this one',
        );
      }
      return 'mounted';
    default:
      if (encrypted) throw notBlank(device, `an unencrypted ${content.kind} file system`);
      if (content.kind !== fs) throw notBlank(device, `${content.kind}, but storage_fs is ${fs}`);
      return 'mounted';
  }
}

function needsPartition(device: string, what: string): DstackError {
  return new DstackError('STORAGE_OPTION_INVALID', `${device} is no GPT partition: ${what} needs one`, {
    path: device,
    hint: 'name a partition, or a blank disk that dstack-util prepare may partition',
  });
}

function foreign(device: string, what: string, hint: string | undefined): DstackError {
  return new DstackError('DISK_FOREIGN', `${device} holds ${what}`, { path: device, hint });
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

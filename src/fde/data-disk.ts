/**
 * The data disk from the point of view of the boot: open it, making it first when (and only when) nothing can be lost.
 * What is formatted and what is refused is decided in decide.ts; docs/disk.md has the same table in words.
 */
import { randomUUID } from 'node:crypto';
import type { FileSystem } from '../config/storage-options.ts';
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import * as ui from '../ui.ts';
import { notBlank } from './choose-disk.ts';
import { type Content, deviceContent, fileSystemType } from './content.ts';
import { type DiskAction, type DiskRequest, decideDisk } from './decide.ts';
import { type DiskMachine, topMount } from './disk-machine.ts';
import { createExt4, mountExt4, syncExt4 } from './ext4.ts';
import { closeLuks, createLuks, mappedDevice, mapperPath, openLuks, testKey } from './luks.ts';
import { keyDisproves, mendMark } from './mark-doubt.ts';
import { type Mark, marksContent, readMark, writeMark } from './marks.ts';
import { kernelName } from './sysfs.ts';
import { createZfs, DATASET, exportZfs, mountZfs, syncZfs } from './zfs.ts';

export interface DataDiskOptions extends DiskRequest {
  readonly mountPoint: string;
  /** disk_crypt_key, 32 bytes; the caller wipes it. Not used when the disk is not encrypted */
  readonly key: Uint8Array;
  /** called once, with the words of the host notification: `initializing data disk` or `mounting data disk` */
  readonly onStep?: (text: string) => void;
}

export interface DataDisk {
  /** path of the mapping, absent when the disk is not encrypted */
  readonly mapper?: string;
  readonly action: DiskAction;
}

/**
 * Opens the data disk and mounts its file system.
 * @throws DISK_NOT_FOUND, DISK_NOT_BLANK, DISK_FOREIGN, LUKS_HEADER_REJECTED, LUKS_KEY_WRONG, LUKS_OPEN_FAILED,
 * FS_CREATE_FAILED, FS_CHECK_FAILED, FS_MOUNT_FAILED; in all these cases except FS_* nothing was changed
 */
export async function openDataDisk(options: DataDiskOptions, machine: DiskMachine): Promise<DataDisk> {
  const { device, encrypted } = options;
  if (encrypted) await refuseOpenMapping(device, machine);
  const { content, mark } = await look(device, encrypted, machine);
  const disproved = await keyDisproves(options, content, mark, machine);
  const action = decideDisk(options, content, disproved ?? mark);
  options.onStep?.(action === 'mounted' ? 'mounting data disk' : 'initializing data disk');
  if (action !== 'mounted') return initialise(options, action, mark, content, machine);
  const done = await mountExisting(options, machine);
  if (disproved !== undefined) await mendMark(device, disproved, machine);
  return done;
}

/**
 * Opens and mounts a volume that must be there; never formats. A volume that is open already is left as it is, if the
 * key is its key. @throws as openDataDisk
 */
export async function mountExisting(options: DataDiskOptions, machine: DiskMachine): Promise<DataDisk> {
  const { device, encrypted, mountPoint, fs } = options;
  if (!isDryRun() && !(await machine.isBlockDevice(device))) {
    throw new DstackError('DISK_NOT_FOUND', `${device} is not a block device`, { path: device });
  }
  const target = encrypted ? await openOnce(device, options.key, machine) : device;
  const done = { ...(encrypted ? { mapper: target } : {}), action: 'mounted' } as const;
  if ((await topMount(mountPoint, machine)) !== undefined && (await mountedFrom(target, mountPoint, machine)))
    return done;
  await closeOnFailure(machine, () =>
    fs === 'zfs' ? mountPool(target, mountPoint, machine) : mountChecked(target, mountPoint, machine),
  );
  return done;
}

/**
 * Makes a volume on a blank device, or on one whose first format was interrupted. One that is there already and belongs
 * to the same key is left as it is: its action is `mounted`. @throws DISK_NOT_BLANK, FS_*
 */
export async function formatDataDisk(options: DataDiskOptions, machine: DiskMachine): Promise<DataDisk> {
  await refuseOpenMapping(options.device, machine);
  const { content, mark } = await look(options.device, options.encrypted, machine);
  if (content.kind === 'blank' || mark?.initialising) return initialise(options, 'initialised', mark, content, machine);
  const refusal = notBlank(options.device, content.kind === 'unknown' ? content.seen : `a ${content.kind} volume`);
  if (content.kind !== 'luks') throw refusal;
  return mountExisting(options, machine).catch(() => {
    throw refusal;
  });
}

/** What a device holds, and its mark if that mark was made for it. */
async function look(
  device: string,
  encrypted: boolean,
  machine: DiskMachine,
): Promise<{ content: Content; mark: Mark | undefined }> {
  const mark = await readMark(device, encrypted, machine);
  const content = await deviceContent(device, machine, { unfinished: mark?.initialising === true });
  return { content, mark: marksContent(mark, content, encrypted) ? mark : undefined };
}

/** The mapping has one name: two volumes cannot be open at once. @throws LUKS_OPEN_FAILED */
export async function refuseOpenMapping(device: string, machine: DiskMachine): Promise<void> {
  const path = mapperPath(machine);
  if (!(await machine.isBlockDevice(path))) return;
  throw new DstackError('LUKS_OPEN_FAILED', `${path} is open already`, {
    path: device,
    hint: 'close it first: dstack-util fde close',
  });
}

/** True if exactly this volume is open. */
export async function isOpen(device: string, machine: DiskMachine): Promise<boolean> {
  const open = await mappedDevice(machine);
  return open !== undefined && open === (await kernelName(device));
}

/** Opens the volume unless exactly this one is open already. */
async function openOnce(device: string, key: Uint8Array, machine: DiskMachine): Promise<string> {
  if (!(await isOpen(device, machine))) {
    await refuseOpenMapping(device, machine);
    return openLuks(device, key, machine);
  }
  await testKey(device, key, machine);
  return mapperPath(machine);
}

async function mountedFrom(target: string, mountPoint: string, machine: DiskMachine): Promise<boolean> {
  const source = (await topMount(mountPoint, machine))?.source ?? '';
  return source === target || source === DATASET;
}

/** Marks, formats, mounts, and only then says on the disk that the volume is ready. docs/disk.md has the states. */
async function initialise(
  options: DataDiskOptions,
  action: 'initialised' | 'reformatted-ephemeral',
  mark: Mark | undefined,
  content: Content,
  machine: DiskMachine,
): Promise<DataDisk> {
  const { device, encrypted, key, fs, mountPoint } = options;
  const ephemeral = encrypted && options.ephemeral;
  const uuid = mark?.uuid ?? randomUUID();
  // a later attempt keeps the UUID: the header that an earlier one left must stay known as unfinished
  if (mark === undefined && !(await writeMark(device, encrypted, { initialising: true, ephemeral, uuid }, machine))) {
    throw noRoom(device);
  }
  const ready = async (): Promise<void> => {
    if (action === 'initialised') await writeMark(device, encrypted, { initialising: false, ephemeral, uuid }, machine);
  };
  if (!encrypted) {
    // an unfinished file system that can be mounted is finished: without a key nothing else tells whose it is
    if (content.kind === fs && (await finished(options, machine))) {
      await ready();
      return { action };
    }
    await machine.run('wipefs', ['--all', '--quiet', device]);
  }
  const target = encrypted ? await createLuks(device, key, uuid, machine) : device;
  await closeOnFailure(machine, async () => {
    await (fs === 'zfs' ? createZfs : createExt4)(target, mountPoint, machine);
    await (fs === 'zfs' ? syncZfs(machine) : syncExt4(mountPoint, machine));
  });
  await ready();
  return { ...(encrypted ? { mapper: target } : {}), action };
}

async function finished(options: DataDiskOptions, machine: DiskMachine): Promise<boolean> {
  try {
    await mountExisting(options, machine);
    return true;
  } catch (thrown) {
    ui.info(`${options.device}: the unfinished file system is made again: ${errorChain(thrown)}`);
    return false;
  }
}

/** Runs `work` on an open volume; when it fails, pool and mapping are given back as far as possible. */
async function closeOnFailure(machine: DiskMachine, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (thrown) {
    // the first error is the one to tell; what stays open is in use and shows in the next attempt
    await exportZfs(machine).catch(() => {});
    await closeLuks(machine).catch(() => {});
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
async function mountChecked(target: string, mountPoint: string, machine: DiskMachine): Promise<void> {
  await expectFileSystem(target, 'ext4', machine);
  await mountExt4(target, mountPoint, machine);
}

/** Asks only where the answer may be another one: a process costs a twentieth of a later boot. */
async function mountPool(target: string, mountPoint: string, machine: DiskMachine): Promise<void> {
  if (!isDryRun() && (await looksLikeExt4(target, machine))) await expectFileSystem(target, 'zfs', machine);
  try {
    await mountZfs(target, mountPoint, machine);
  } catch (thrown) {
    await expectFileSystem(target, 'zfs', machine);
    throw thrown;
  }
}

/** The magic number of ext2 to ext4 (kernel documentation, ext4 super block): ZFS labels of an earlier life may survive. */
async function looksLikeExt4(target: string, machine: DiskMachine): Promise<boolean> {
  try {
    return Buffer.from(await machine.read(target, 1024 + 56, 2)).toString('hex') === '53ef';
  } catch {
    return true; // unreadable: blkid and zpool say what is wrong
  }
}

/** Says in plain words what mount would only fail at. */
async function expectFileSystem(device: string, fs: FileSystem, machine: DiskMachine): Promise<void> {
  const type = await fileSystemType(device, machine);
  // silence decides nothing: libblkid needs several ZFS uberblocks before it is sure
  if (type === '' || type === (fs === 'zfs' ? 'zfs_member' : 'ext4')) return;
  throw new DstackError('FS_MOUNT_FAILED', `the volume on ${device} holds ${type}, not ${fs}`, {
    path: device,
    field: 'storage_fs',
    value: fs,
    hint: 'storage_fs must stay what it was when the volume was made',
  });
}

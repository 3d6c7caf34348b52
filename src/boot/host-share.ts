/**
 * The host share: a disk labelled DSTACKSHR, or the 9p share `host-shared`, mounted read-only. Everything on it comes
 * from the host and is untrusted; nothing on it may run (dstack boot order, host share mount).
 *
 * The disk is vfat (what VMMs make) or ext4 (what `npm start` makes), by name: with no name the kernel would offer it to
 * every file system it knows or can load, and each of them is code that reads what the host wrote.
 */
import * as fs from 'node:fs/promises';
import { HOST_SHARED, hostSharedDir, PATHS } from '../config/paths.ts';
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { exists, ifExists, makeDir, readLimited } from '../sys/files.ts';
import * as ui from '../ui.ts';
import type { BootMachine } from './boot-machine.ts';

export const SHARE_LABEL = 'DSTACKSHR';
export const SHARE_TAG = 'host-shared';
/** `.sys-config.json` has at most this many bytes */
export const SYS_CONFIG_LIMIT = 32 * 1024;

const RESTRICT = 'ro,nosuid,nodev,noexec';
const MOUNT_TIMEOUT_MS = 30_000;

/** The block device with the label, by udev's link, else by asking blkid about every disk. */
export async function findShareDevice(machine: BootMachine): Promise<string | undefined> {
  const link = `/dev/disk/by-label/${SHARE_LABEL}`;
  if (await exists(`${machine.root}${link}`)) return link;
  const names = (await ifExists(() => fs.readdir(`${machine.root}/sys/block`))) ?? [];
  for (const name of names.sort()) {
    const size = await ifExists(() => fs.readFile(`${machine.root}/sys/block/${name}/size`, 'utf8'));
    if (size?.trim() === '0') continue; // a loop device without a file, an empty drive
    const device = `/dev/${name}`;
    const { stdout } = await machine.run('blkid', ['-s', 'LABEL', '-o', 'value', device], {
      ok: [0, 2], // 2 = no label
      readOnly: true,
      timeoutMs: MOUNT_TIMEOUT_MS,
    });
    if (stdout.trim() === SHARE_LABEL) return device;
  }
  return undefined;
}

/**
 * Mounts the share on `dir` (created when missing). A share that is already mounted there stays.
 * @throws HOST_SHARE_MISSING with what was tried
 */
export async function mountHostShare(dir: string, machine: BootMachine): Promise<void> {
  await makeDir(dir, 0o700);
  if ((await machine.mountAt(dir)) !== undefined) return ui.debug(`the host share is already mounted on ${dir}`);
  const limits = { timeoutMs: MOUNT_TIMEOUT_MS };
  let first: unknown;
  const device = await findShareDevice(machine);
  if (device !== undefined) {
    try {
      const type = await shareType(`${machine.root}${device}`);
      // noload: replaying a journal would run more of the file system, and write to the host's disk
      const options = type === 'ext4' ? `${RESTRICT},noload` : RESTRICT;
      await machine.run('mount', ['-t', type, '-o', options, device, dir], limits);
      return;
    } catch (thrown) {
      first = thrown;
    }
  }
  try {
    const options = `trans=virtio,version=9p2000.L,${RESTRICT}`;
    await machine.run('mount', ['-t', '9p', '-o', options, SHARE_TAG, dir], limits);
  } catch (thrown) {
    const tried = device === undefined ? `no disk is labelled ${SHARE_LABEL}` : `disk ${device} cannot be mounted`;
    throw new DstackError(
      'HOST_SHARE_MISSING',
      `host share not found: ${tried} and there is no 9p share ${SHARE_TAG}`,
      {
        cause: first ?? thrown,
      },
    );
  }
}

/** ext4 by its magic number (kernel documentation, ext4 super block); anything else is vfat or cannot be mounted. */
async function shareType(path: string): Promise<'ext4' | 'vfat'> {
  const handle = await ifExists(() => fs.open(path, 'r'));
  if (handle === undefined) return 'vfat'; // gone again: mount says so
  try {
    const magic = Buffer.alloc(2);
    await handle.read(magic, 0, magic.length, 1024 + 56);
    return magic.toString('hex') === '53ef' ? 'ext4' : 'vfat';
  } finally {
    await handle.close();
  }
}

/** Unmounts the share; nothing mounted there is fine. */
export async function unmountHostShare(dir: string, machine: BootMachine): Promise<void> {
  if (!isDryRun() && (await machine.mountAt(dir)) === undefined) return;
  await machine.run('umount', [dir], { timeoutMs: MOUNT_TIMEOUT_MS, code: 'MOUNT_FAILED' });
}

/**
 * Finds `host_api_url` for a failure that came before setup could read it: in the copy, on the mounted share, else by
 * mounting the share for a moment. Only this one field is looked at, so a document that is damaged elsewhere does not matter.
 */
export async function locateHostApi(machine: BootMachine, mountDir: string = PATHS.hostSharedMount) {
  for (const dir of [hostSharedDir(), mountDir]) {
    const url = await hostApiUrlIn(dir);
    if (url !== undefined) return url;
  }
  if (isDryRun() || (await machine.mountAt(mountDir)) !== undefined) return undefined;
  await mountHostShare(mountDir, machine);
  try {
    return await hostApiUrlIn(mountDir);
  } finally {
    await unmountHostShare(mountDir, machine);
  }
}

async function hostApiUrlIn(dir: string): Promise<string | undefined> {
  try {
    const raw = await readLimited(`${dir}/${HOST_SHARED.sysConfig}`, SYS_CONFIG_LIMIT);
    const parsed: unknown = JSON.parse(new TextDecoder().decode(raw));
    const url = (parsed as { host_api_url?: unknown } | null)?.host_api_url;
    return typeof url === 'string' && url !== '' ? url : undefined;
  } catch {
    return undefined;
  }
}

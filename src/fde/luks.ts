/**
 * The encrypted volume: cryptsetup with the documented parameters (dstack boot order, LUKS2). The passphrase is the
 * disk key as 64 lower-case hex digits, on stdin only (`--key-file=-`: reads to the end, no newline is cut).
 */
import * as fs from 'node:fs/promises';
import { DstackError, errorChain } from '../errors.ts';
import { effect, isDryRun } from '../sys/effects.ts';
import { readLimited, wipe } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { checkLuksHeader } from './luks-header.ts';
import { PAYLOAD_OFFSET } from './luks-json.ts';
import { nodeAppears, settle } from './nodes.ts';
import { type Surface, SYSTEM } from './surface.ts';

/** Name of the mapping: /dev/mapper/dstack_data_disk. */
export const MAPPER = 'dstack_data_disk';
export const DISK_KEY_SIZE = 32;

/** Exit statuses of cryptsetup(8). */
const EXIT_NO_PERMISSION = 2;
const TIMEOUT_MS = 300_000;

export const mapperPath = (surface: Surface = SYSTEM): string => `${surface.dev}/mapper/${MAPPER}`;

/**
 * Makes an empty volume; everything on the device is lost. The caller has proven that there is nothing to lose.
 *
 * The key has 256 random bits, so stretching it gains nothing: the smallest iteration count cryptsetup takes saves a
 * second at every boot. The sector size is fixed, because cryptsetup picks 4096 on some disks and the header check
 * (ours and the reference's) wants 512. No label and no subsystem: both must stay empty.
 * @param key disk_crypt_key, 32 bytes
 * @throws COMMAND_FAILED
 */
export async function formatLuks(device: string, key: Uint8Array, surface: Surface = SYSTEM): Promise<void> {
  const args = ['luksFormat', '--batch-mode', '--type', 'luks2', '--offset', String(PAYLOAD_OFFSET / 512)];
  args.push('--cipher', 'aes-xts-plain64', '--key-size', '512', '--hash', 'sha256', '--sector-size', '512');
  args.push('--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--key-file=-', device);
  await withPassphrase(key, (stdin) => surface.run('cryptsetup', args, { stdin, timeout: TIMEOUT_MS }));
}

/**
 * Opens a volume through a checked copy of its header: the header is copied into memory, checked there, and that copy
 * is what cryptsetup uses, so a host that changes the disk in between gains nothing.
 * @returns path of the mapping
 * @throws LUKS_HEADER_REJECTED, LUKS_KEY_WRONG, LUKS_OPEN_FAILED
 */
export async function openLuks(device: string, key: Uint8Array, surface: Surface = SYSTEM): Promise<string> {
  await withHeaderCopy(device, surface, async (header) => {
    const args = ['luksOpen', '--type', 'luks2', '--header', header, '--key-file=-', device, MAPPER];
    const { exit, stderr } = await withPassphrase(key, (stdin) =>
      surface.run('cryptsetup', args, { stdin, timeout: TIMEOUT_MS, ok: [0, 1, 2, 3, 4, 5] }),
    );
    if (exit === EXIT_NO_PERMISSION) {
      throw new DstackError('LUKS_KEY_WRONG', `the disk key does not open ${device}`, { path: device });
    }
    if (exit !== 0) {
      throw new DstackError('LUKS_OPEN_FAILED', `cryptsetup cannot open ${device} (exit status ${exit})`, {
        path: device,
        cause: stderr.trim() || undefined,
      });
    }
  });
  const path = mapperPath(surface);
  await nodeAppears(path, surface); // cryptsetup has waited for udev itself
  return path;
}

/** Closes the mapping if it is there. @throws COMMAND_FAILED when something still uses it */
export async function closeLuks(surface: Surface = SYSTEM): Promise<void> {
  const path = mapperPath(surface);
  if (!isDryRun() && !(await surface.isBlockDevice(path))) return;
  await settle(surface); // udev may be looking at the device: closing would find it busy
  await surface.run('cryptsetup', ['luksClose', MAPPER], { timeout: 30_000 });
}

/** Largest backup taken: the header area of our own volumes is 16 MiB. The memory file system is the real limit. */
const COPY_LIMIT = 64 * 1024 * 1024;

/** Gives `use` the path of a checked copy of the header in memory, then removes the copy. */
async function withHeaderCopy(device: string, surface: Surface, use: (path: string) => Promise<void>): Promise<void> {
  const dir = await effect('mkdir /tmp/dstack-luks-header', '/tmp/dstack-luks-header', () =>
    fs.mkdtemp('/tmp/dstack-luks-header-'),
  );
  const file = `${dir}/luks-header`;
  let mounted = false;
  try {
    const options = 'size=64M,mode=0700,nosuid,nodev,noexec';
    await surface.run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', dir], { code: 'MOUNT_FAILED' });
    mounted = true;
    await surface.run('cryptsetup', ['luksHeaderBackup', '--header-backup-file', file, device], {
      code: 'LUKS_HEADER_REJECTED',
    });
    if (!isDryRun()) checkLuksHeader(await readLimited(file, COPY_LIMIT));
    await use(file);
  } finally {
    await removeCopy(dir, mounted, surface);
  }
}

/** Never throws: the error of the work itself must not be hidden, and the copy holds no secret. */
async function removeCopy(dir: string, mounted: boolean, surface: Surface): Promise<void> {
  try {
    if (mounted) await surface.run('umount', [dir]);
  } catch (thrown) {
    ui.warn(`${dir} stays mounted: ${errorChain(thrown)}`);
  }
  try {
    await effect(`rmdir ${dir}`, undefined, () => fs.rm(dir, { recursive: true, force: true }));
  } catch (thrown) {
    ui.warn(`${dir} is not removed: ${errorChain(thrown)}`);
  }
}

/** Hands the passphrase to `use` and overwrites it afterwards. @throws KEY_INVALID */
async function withPassphrase<T>(key: Uint8Array, use: (passphrase: Uint8Array) => Promise<T>): Promise<T> {
  if (key.length !== DISK_KEY_SIZE) {
    throw new DstackError('KEY_INVALID', `the disk key has ${key.length} bytes instead of ${DISK_KEY_SIZE}`, {
      field: 'disk_crypt_key',
    });
  }
  const passphrase = new Uint8Array(DISK_KEY_SIZE * 2);
  key.forEach((byte, i) => {
    passphrase[2 * i] = DIGITS.charCodeAt(byte >> 4);
    passphrase[2 * i + 1] = DIGITS.charCodeAt(byte & 15);
  });
  try {
    return await use(passphrase);
  } finally {
    wipe(passphrase);
  }
}

const DIGITS = '0123456789abcdef';

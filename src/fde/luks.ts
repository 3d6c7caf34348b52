/**
 * The encrypted volume: cryptsetup with the documented parameters (dstack boot order, LUKS2). The passphrase is the
 * disk key as 64 lower-case hex digits, on stdin only (`--key-file=-`: reads to the end, no newline is cut).
 */
import * as fs from 'node:fs/promises';
import { DISK_KEY_SIZE } from '../config/app-keys.ts';
import { DstackError, errorChain } from '../errors.ts';
import { effect, isDryRun } from '../sys/effects.ts';
import { ifExists, readLimited, wipe } from '../sys/files.ts';
import * as ui from '../ui.ts';
import type { DiskMachine } from './disk-machine.ts';
import { BINARY_SIZE, checkLuksHeader, type LuksHeader } from './luks-header.ts';
import { PAYLOAD_OFFSET } from './luks-json.ts';
import { MARK_AT } from './marks.ts';
import { nodeAppears, settle } from './nodes.ts';
import { kernelName } from './sysfs.ts';

/** Name of the mapping: /dev/mapper/dstack_data_disk. */
export const MAPPER = 'dstack_data_disk';

/** Exit statuses of cryptsetup(8). */
const EXIT_NO_PERMISSION = 2;
const TIMEOUT_MS = 300_000;
/** Room for one key slot of 252 KiB; with the default, cryptsetup would fill 16 MiB with random bytes. */
const KEYSLOTS_SIZE = '256k';
/** The memory file system is the real limit. */
const COPY_LIMIT = 64 * 1024 * 1024;
const DIGITS = '0123456789abcdef';

export const mapperPath = (machine: DiskMachine): string => `${machine.dev}/mapper/${MAPPER}`;

/**
 * Makes an empty volume and opens it; everything on the device is lost. The caller has proven that there is nothing to
 * lose, and has marked the device.
 *
 * cryptsetup makes the header in memory, not on the disk: it would first overwrite the whole 16 MiB in front of the
 * payload, mark included. What it made is checked like any header, then written in one go (two header copies and the
 * key slot, 288 KiB) and opened from memory.
 *
 * The key has 256 random bits, so stretching it gains nothing: the smallest iteration count cryptsetup takes saves a
 * second at every boot. The sector size is fixed, because cryptsetup picks 4096 on some disks and the header check
 * (ours and the reference's) wants 512. No label and no subsystem: both must stay empty.
 * @param key disk_crypt_key, 32 bytes
 * @param uuid of the new volume, the one in its mark
 * @returns path of the mapping
 * @throws FS_CREATE_FAILED, LUKS_OPEN_FAILED, FILE_IO
 */
export async function createLuks(device: string, key: Uint8Array, uuid: string, machine: DiskMachine): Promise<string> {
  await withMemory(machine, async (header) => {
    const args = ['luksFormat', '--batch-mode', '--type', 'luks2', '--offset', String(PAYLOAD_OFFSET / 512)];
    args.push('--cipher', 'aes-xts-plain64', '--key-size', '512', '--hash', 'sha256', '--sector-size', '512');
    args.push('--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--luks2-keyslots-size', KEYSLOTS_SIZE);
    args.push('--uuid', uuid, '--header', header, '--key-file=-', device);
    const failure = { code: 'FS_CREATE_FAILED', timeoutMs: TIMEOUT_MS } as const;
    await withPassphrase(key, (stdin) => machine.run('cryptsetup', args, { ...failure, stdin }));
    const bytes = isDryRun() ? new Uint8Array() : await readLimited(header, COPY_LIMIT);
    if (!isDryRun()) expectGap(checkLuksHeader(bytes));
    await machine.write(device, [{ at: 0, bytes }], `write the luks header to ${device}`);
    await open(device, header, key, machine);
  });
  const path = mapperPath(machine);
  await nodeAppears(path, machine); // cryptsetup has waited for udev itself
  return path;
}

function expectGap({ keyslotOffset, keyslotSize }: LuksHeader): void {
  if (keyslotOffset + keyslotSize <= MARK_AT) return;
  throw new DstackError('INTERNAL', `the key slot ends at ${keyslotOffset + keyslotSize}, behind the mark`);
}

/**
 * Opens a volume through a checked copy of its header: the header is copied into memory, checked there, and that copy
 * is what cryptsetup uses, so a host that changes the disk in between gains nothing. cryptsetup never reads the header
 * on the disk, and nothing writes to it.
 * @returns path of the mapping
 * @throws LUKS_HEADER_REJECTED, LUKS_KEY_WRONG, LUKS_OPEN_FAILED, FILE_IO
 */
export async function openLuks(device: string, key: Uint8Array, machine: DiskMachine): Promise<string> {
  await withHeaderCopy(device, machine, (header) => open(device, header, key, machine));
  const path = mapperPath(machine);
  await nodeAppears(path, machine);
  return path;
}

/**
 * Says whether the key is the one of an open volume, by its checked header. @throws as openLuks
 */
export async function testKey(device: string, key: Uint8Array, machine: DiskMachine): Promise<void> {
  await withHeaderCopy(device, machine, (header) => open(device, header, key, machine, ['--test-passphrase']));
}

/** Makes an open mapping as large as its device has become. @throws as openLuks */
export async function resizeLuks(device: string, key: Uint8Array, machine: DiskMachine): Promise<void> {
  const args = ['resize', '--key-file=-', MAPPER];
  await withHeaderCopy(device, machine, async (header) => {
    await open(device, header, key, machine, ['--test-passphrase']);
    const failure = { code: 'LUKS_OPEN_FAILED', timeoutMs: TIMEOUT_MS } as const;
    await withPassphrase(key, (stdin) =>
      machine.run('cryptsetup', [...args, '--header', header], { ...failure, stdin }),
    );
  });
}

/** Kernel name of the device under the open mapping; undefined when it is not open or the kernel does not tell. */
export async function mappedDevice(machine: DiskMachine): Promise<string | undefined> {
  const path = mapperPath(machine);
  if (!(await machine.isBlockDevice(path))) return undefined;
  const slaves = `${machine.sysfs}/class/block/${await kernelName(path)}/slaves`;
  return (await ifExists(() => fs.readdir(slaves)))?.[0];
}

/** Gives `use` a file in memory with the checked header of a device. */
async function withHeaderCopy(
  device: string,
  machine: DiskMachine,
  use: (path: string) => Promise<void>,
): Promise<void> {
  const bytes = isDryRun() ? new Uint8Array() : await readHeaderArea(device, machine);
  await withMemory(machine, async (header) => {
    await effect(`write ${header}`, undefined, async () => {
      await fs.writeFile(header, bytes, { mode: 0o600 });
      // as long as any header that passes may say it is; the rest is a hole
      await fs.truncate(header, PAYLOAD_OFFSET);
    });
    await use(header);
  });
}

/** Header copies and key slot of a device, checked. Almost all have them in the first MiB. */
async function readHeaderArea(device: string, machine: DiskMachine): Promise<Uint8Array> {
  const start = await machine.read(device, 0, 1024 * 1024);
  const said = start.length < BINARY_SIZE ? 0n : Buffer.from(start.subarray(8, 16)).readBigUInt64BE();
  let bytes = 2n * said <= BigInt(start.length) ? start : await machine.read(device, 0, PAYLOAD_OFFSET);
  const header = checkLuksHeader(bytes);
  if (header.keyslotOffset + header.keyslotSize > bytes.length) {
    bytes = await machine.read(device, 0, PAYLOAD_OFFSET);
    checkLuksHeader(bytes); // read again, so checked again
  }
  return bytes;
}

async function open(
  device: string,
  header: string,
  key: Uint8Array,
  machine: DiskMachine,
  more: readonly string[] = [],
): Promise<void> {
  const args = ['luksOpen', '--type', 'luks2', ...more, '--header', header, '--key-file=-', device, MAPPER];
  const { exit, stderr } = await withPassphrase(key, (stdin) =>
    machine.run('cryptsetup', args, { stdin, timeoutMs: TIMEOUT_MS, ok: [0, 1, 2, 3, 4, 5] }),
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
}

/** Closes the mapping if it is there. @throws COMMAND_FAILED when something still uses it */
export async function closeLuks(machine: DiskMachine): Promise<void> {
  const path = mapperPath(machine);
  if (!isDryRun() && !(await machine.isBlockDevice(path))) return;
  await settle(machine); // udev may be looking at the device: closing would find it busy
  await machine.run('cryptsetup', ['luksClose', MAPPER], { timeoutMs: 30_000 });
}

/** Gives `use` the path of a header file in memory, which does not exist yet, and removes it afterwards. */
async function withMemory(machine: DiskMachine, use: (path: string) => Promise<void>): Promise<void> {
  const dir = await effect('mkdir /tmp/dstack-luks-header', '/tmp/dstack-luks-header', () =>
    fs.mkdtemp('/tmp/dstack-luks-header-'),
  );
  let mounted = false;
  try {
    const options = 'size=64M,mode=0700,nosuid,nodev,noexec';
    await machine.run('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', dir], { code: 'MOUNT_FAILED' });
    mounted = true;
    await use(`${dir}/luks-header`);
  } finally {
    await removeCopy(dir, mounted, machine);
  }
}

/** Never throws: the error of the work itself must not be hidden, and the copy holds no secret. */
async function removeCopy(dir: string, mounted: boolean, machine: DiskMachine): Promise<void> {
  try {
    if (mounted) await machine.run('umount', [dir]);
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

/**
 * Swap on the data disk (dstack boot order, swap). It lies inside the encrypted volume, so it needs no key of its own; the
 * storage options refuse it on a disk that is not encrypted.
 */
import * as fs from 'node:fs/promises';
import type { FileSystem } from '../config/storage-options.ts';
import { DstackError } from '../errors.ts';
import { effect } from '../sys/effects.ts';
import { ifExists } from '../sys/files.ts';
import type { DiskMachine } from './disk-machine.ts';
import { waitForNode } from './nodes.ts';
import { POOL } from './zfs.ts';

export interface SwapOptions {
  readonly fs: FileSystem;
  readonly mountPoint: string;
  /** bytes; 0 removes what an earlier boot made */
  readonly size: number;
}

const VOLUME = `${POOL}/swap`;
const volumeDevice = (machine: DiskMachine): string => `${machine.dev}/zvol/${VOLUME}`;
const swapFile = (mountPoint: string): string => `${mountPoint}/swapfile`;

/** Makes a new swap, or removes it for size 0. @throws SWAP_FAILED */
export async function setupSwap({ fs: kind, mountPoint, size }: SwapOptions, machine: DiskMachine): Promise<void> {
  if (!Number.isSafeInteger(size) || size < 0) {
    throw new DstackError('SWAP_FAILED', `swap_size ${size} is not a size in bytes`, {
      field: 'swap_size',
      value: size,
    });
  }
  await swapOff(mountPoint, machine);
  const device = kind === 'zfs' ? await zfsVolume(size, machine) : await file(swapFile(mountPoint), size, machine);
  if (device === undefined) return;
  await machine.run('mkswap', [device], { code: 'SWAP_FAILED' });
  await machine.run('swapon', [device], { code: 'SWAP_FAILED' });
}

/** Stops using both kinds of swap. @throws SWAP_FAILED */
export async function swapOff(mountPoint: string, machine: DiskMachine): Promise<void> {
  const active = parseSwaps(await machine.swaps());
  const zvol = await ifExists(() => fs.realpath(volumeDevice(machine)));
  for (const path of [zvol, swapFile(mountPoint)]) {
    if (path === undefined || !active.includes(path)) continue;
    // the pages must fit into memory again: that may take its time
    await machine.run('swapoff', [path], { code: 'SWAP_FAILED', timeoutMs: 300_000 });
  }
}

/** Paths of /proc/swaps (proc(5)); spaces and the like are octal escapes there. */
export function parseSwaps(text: string): string[] {
  const lines = text.split('\n').slice(1);
  return lines
    .map((line) => line.split(/\s+/)[0] ?? '')
    .filter((path) => path !== '')
    .map((path) => path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))));
}

async function zfsVolume(size: number, machine: DiskMachine): Promise<string | undefined> {
  const failure = { code: 'SWAP_FAILED' } as const;
  const listed = await machine.run('zfs', ['list', '-H', '-o', 'name', VOLUME], { ok: [0, 1], readOnly: true });
  if (listed.stdout.trim() === VOLUME) {
    // without a device node first: a destroy right after swapoff can find it busy
    await machine.run('zfs', ['set', 'volmode=none', VOLUME], failure);
    await machine.run('zfs', ['destroy', VOLUME], failure);
  }
  if (size === 0) return undefined;
  const options = ['compression=zle', 'logbias=throughput', 'sync=always', 'primarycache=metadata'];
  const args = [...options, 'com.sun:auto-snapshot=false'].flatMap((option) => ['-o', option]);
  await machine.run('zfs', ['create', '-V', String(size), ...args, VOLUME], failure);
  await waitForNode(volumeDevice(machine), machine);
  return volumeDevice(machine);
}

async function file(path: string, size: number, machine: DiskMachine): Promise<string | undefined> {
  await effect(`rm ${path}`, undefined, () => fs.rm(path, { force: true }));
  if (size === 0) return undefined;
  // the mode is right before the file has any content
  await effect(`create ${path} (mode 0600)`, undefined, async () => {
    const handle = await fs.open(path, 'wx', 0o600);
    await handle.chmod(0o600);
    await handle.close();
  });
  await machine.run('fallocate', ['-l', String(size), path], { code: 'SWAP_FAILED', timeoutMs: 300_000 });
  return path;
}

/** The ZFS pool `dstack` on the data disk, with its one dataset `dstack/data` (dstack boot order, file systems). */
import * as fs from 'node:fs/promises';
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { exists, ifExists } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { type DiskMachine, topMount } from './disk-machine.ts';

export const POOL = 'dstack';
export const DATASET = `${POOL}/data`;

const TIMEOUT_MS = 600_000;

/**
 * Makes pool and dataset on an empty device and mounts the dataset.
 * @throws FS_CREATE_FAILED
 */
export async function createZfs(device: string, mountPoint: string, machine: DiskMachine): Promise<void> {
  await loadZfs(machine);
  const failure = { code: 'FS_CREATE_FAILED', timeoutMs: TIMEOUT_MS } as const;
  await machine.run('zpool', ['create', '-o', 'autoexpand=on', '-m', 'none', POOL, device], failure);
  const options = [`mountpoint=${mountPoint}`, 'atime=off', 'checksum=blake3'].flatMap((option) => ['-o', option]);
  await machine.run('zfs', ['create', ...options, DATASET], failure);
}

/**
 * Imports the pool from this device alone (a second disk of the host with a pool of the same name is never looked at),
 * grows it to the size of the device and mounts its datasets.
 * @throws FS_MOUNT_FAILED
 */
export async function mountZfs(device: string, mountPoint: string, machine: DiskMachine): Promise<void> {
  await loadZfs(machine);
  await importPool(device, machine);
  // both at a time: each takes longer to start than to work
  const growing = expand(device, machine);
  try {
    await mountDatasets(mountPoint, machine);
  } finally {
    await growing; // a failed volume is closed next, and must not be in use
  }
}

/** Takes what the device has become larger by. Never fails: the smaller size still works. */
async function expand(device: string, machine: DiskMachine): Promise<void> {
  try {
    await machine.run('zpool', ['online', '-e', POOL, device]);
  } catch (thrown) {
    ui.warn(`pool ${POOL} keeps its size: ${errorChain(thrown)}`);
  }
}

async function mountDatasets(mountPoint: string, machine: DiskMachine): Promise<void> {
  const failure = { code: 'FS_MOUNT_FAILED' } as const;
  const current = await machine.run('zfs', ['get', '-H', '-o', 'value', 'mountpoint', DATASET], failure);
  if (!isDryRun() && current.stdout.trim() !== mountPoint) {
    await machine.run('zfs', ['set', `mountpoint=${mountPoint}`, DATASET], failure);
  }
  // all datasets: an app may have made some below dstack/data
  await machine.run('zfs', ['mount', '-a'], { ...failure, timeoutMs: TIMEOUT_MS });
  if (!isDryRun() && (await topMount(mountPoint, machine)) === undefined) {
    throw new DstackError('FS_MOUNT_FAILED', `${DATASET} is not mounted at ${mountPoint}`, { path: mountPoint });
  }
}

/** Waits until everything written is on the disk. */
export async function syncZfs(machine: DiskMachine): Promise<void> {
  await machine.run('zpool', ['sync', POOL], { timeoutMs: TIMEOUT_MS });
}

/** Unmounts and exports the pool if it is imported. Without the export device-mapper stays busy. @throws COMMAND_FAILED */
export async function exportZfs(machine: DiskMachine): Promise<void> {
  if (!(await imported(machine))) return;
  try {
    await machine.run('zpool', ['export', POOL], { timeoutMs: 60_000 });
  } catch (thrown) {
    ui.warn(`pool ${POOL} is busy, it is exported with force: ${errorChain(thrown)}`);
    await machine.run('zpool', ['export', '-f', POOL], { timeoutMs: 60_000 });
  }
}

/** True if the pool is imported in this boot. False also where ZFS is not installed. */
export async function imported(machine: DiskMachine): Promise<boolean> {
  // zpool would load the module first, which takes seconds on the way to power-off
  if (!(await exists(`${machine.sysfs}/module/zfs`))) return false;
  try {
    const { stdout } = await machine.run('zpool', ['list', '-H', '-o', 'name'], { readOnly: true });
    return stdout.split('\n').includes(POOL);
  } catch {
    return false;
  }
}

async function importPool(device: string, machine: DiskMachine): Promise<void> {
  // -N: mounting comes later, when the mount point is known to be right
  const args = ['-N', '-d', device, POOL];
  const failure = { code: 'FS_MOUNT_FAILED', timeoutMs: TIMEOUT_MS } as const;
  try {
    await machine.run('zpool', ['import', ...args], failure);
  } catch (thrown) {
    // A boot that ended without an export leaves the pool claimed; the host id differs after an image upgrade. Nobody
    // else can have it open: the volume under it is ours alone.
    if (!/another system|use '-f'/.test(errorChain(thrown))) throw thrown;
    ui.warn(`pool ${POOL} was not exported before: imported with force`);
    await machine.run('zpool', ['import', '-f', ...args], failure);
  }
}

/**
 * Loads the kernel module; a failure shows in the next command, with a better message. A unit of the image has begun to
 * load it long before: modprobe then waits for the end of that.
 */
async function loadZfs(machine: DiskMachine): Promise<void> {
  const state = await ifExists(() => fs.readFile(`${machine.sysfs}/module/zfs/initstate`, 'utf8'));
  if (state?.trim() === 'live') return;
  await machine.run('modprobe', ['zfs'], { ok: [0, 1] });
}

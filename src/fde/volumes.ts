/**
 * Mounts the read-only volumes an app asks for (dstack boot order, verity volumes). The root hash of app-compose.json,
 * which is measured, decides what the data must be: dm-verity checks every block against it when it is read.
 */
import * as fs from 'node:fs/promises';
import { basename } from 'node:path';
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { makeDir } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { fileSystemType } from './content.ts';
import { type DiskMachine, topMount } from './disk-machine.ts';
import { settle, waitForNode } from './nodes.ts';
import { kernelName } from './sysfs.ts';
import { type FoundVolume, scanVolumes } from './volume-scan.ts';

/** One entry of `verity_volumes`. */
export interface WantedVolume {
  readonly source: string;
  /** root hash, 32 bytes */
  readonly verityRoot: Uint8Array;
  /** absolute path */
  readonly target: string;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** Name of the mapping of the volume with this index in the list. */
export const mapping = (index: number): string => `dstack-verity${index}`;

/**
 * Opens and mounts all volumes in their order.
 * @throws VOLUME_INVALID for a duplicate target, a root hash that no disk offers, data that does not match it;
 * MOUNT_FAILED
 */
export async function mountVerityVolumes(wanted: readonly WantedVolume[], machine: DiskMachine): Promise<void> {
  const targets = new Set<string>();
  for (const { target } of wanted) {
    if (targets.has(target)) throw invalid(`duplicate verity volume target ${target}`, target);
    targets.add(target);
  }
  if (wanted.length === 0) return;
  await machine.run('modprobe', ['dm-verity'], { ok: [0, 1] });
  await settle(machine);
  const found = await scanVolumes(machine);
  /** mappings opened so far by root hash: one volume may be mounted at several targets */
  const active = new Map<string, string>();
  for (const [index, volume] of wanted.entries()) {
    const root = hex(volume.verityRoot);
    const open = active.get(root) ?? (await openVolume(index, volume, found, machine));
    active.set(root, open);
    try {
      await mountVolume(open, volume.target, machine);
    } catch (thrown) {
      await closeVolume(open, machine);
      throw thrown;
    }
    ui.info(`verity volume ${volume.source} mounted at ${volume.target}`);
  }
}

/** Opens one volume, or takes over a mapping of the same name and root hash. @returns device node of the mapping */
async function openVolume(
  index: number,
  { source, verityRoot, target }: WantedVolume,
  found: readonly FoundVolume[],
  machine: DiskMachine,
): Promise<string> {
  const root = hex(verityRoot);
  const name = mapping(index);
  const path = `${machine.dev}/mapper/${name}`;
  if (await machine.isBlockDevice(path)) {
    if ((await activeRoot(name, machine)) === root) return path;
    await machine.run('veritysetup', ['close', name], { code: 'VOLUME_INVALID' });
  }
  const candidate = found.find((volume) => hex(volume.root) === root);
  if (candidate === undefined)
    throw invalid(`no attached disk offers verity volume ${source} with root ${root}`, target);
  await machine.run('veritysetup', ['open', candidate.data, name, candidate.hash, root], { code: 'VOLUME_INVALID' });
  try {
    await waitForNode(path, machine);
    // the first block is checked now: a volume with another content fails here, with its name, not somewhere in the app
    if (!isDryRun()) await readFirstBlock(path, source, target);
  } catch (thrown) {
    await closeVolume(path, machine);
    throw thrown;
  }
  return path;
}

/** Gives a mapping back after a failure; one that is mounted elsewhere stays (exit status 5, busy). */
async function closeVolume(path: string, machine: DiskMachine): Promise<void> {
  await machine.run('veritysetup', ['close', basename(path)], { ok: [0, 1, 4, 5] });
}

async function mountVolume(device: string, target: string, machine: DiskMachine): Promise<void> {
  const present = isDryRun() ? undefined : await topMount(target, machine);
  if (present !== undefined) {
    if ((await kernelName(present.source)) === (await kernelName(device))) return;
    throw invalid(`${target} is taken by another mount (${present.source})`, target);
  }
  const type = isDryRun() ? '' : await fileSystemType(device, machine);
  // noload: replaying the journal would write to a device that cannot be written
  const options = type === 'ext4' || type === 'ext3' ? 'ro,noload' : 'ro';
  await makeDir(target);
  await machine.run('mount', ['-o', options, ...(type === '' ? [] : ['-t', type]), device, target], {
    code: 'MOUNT_FAILED',
  });
}

/** Root hash of an active mapping in hex, or undefined. */
export async function activeRoot(name: string, machine: DiskMachine): Promise<string | undefined> {
  const { stdout } = await machine.run('veritysetup', ['status', name], { ok: [0, 1, 4], readOnly: true });
  return /^\s*root hash:\s+([0-9a-f]+)$/m.exec(stdout)?.[1];
}

async function readFirstBlock(path: string, source: string, target: string): Promise<void> {
  try {
    const handle = await fs.open(path, 'r');
    try {
      await handle.read(new Uint8Array(4096), 0, 4096, 0);
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw new DstackError('VOLUME_INVALID', `the data of verity volume ${source} does not match its root hash`, {
      field: 'verity_volumes',
      value: target,
      cause: thrown,
    });
  }
}

function invalid(message: string, target: string): DstackError {
  return new DstackError('VOLUME_INVALID', message, { field: 'verity_volumes', value: target });
}

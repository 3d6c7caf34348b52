/** Finds the verity volumes among the attached disks (dstack boot order, verity volumes). */
import * as fs from 'node:fs/promises';
import { errorChain } from '../errors.ts';
import { exists } from '../sys/files.ts';
import * as ui from '../ui.ts';
import type { DiskMachine } from './disk-machine.ts';
import { blockDevices, partitions } from './sysfs.ts';
import { ENVELOPE_SIZE, parseEnvelope } from './volume-envelope.ts';

export interface FoundVolume {
  /** the root hash its envelope advertises, 32 bytes */
  readonly root: Uint8Array;
  /** device with the data */
  readonly data: string;
  /** device with the hash tree */
  readonly hash: string;
}

/** A host may attach any number of disks; no more than this many are looked at. */
const DISK_LIMIT = 64;

/**
 * All verity volumes, in the order of the kernel names of their disks. A disk has the envelope in partition 1, the data
 * in partition 2 and the hash tree in partition 3. What cannot be read or is of another kind is passed over with a
 * warning: a disk that nobody asked for must not stop the boot.
 */
export async function scanVolumes(machine: DiskMachine): Promise<FoundVolume[]> {
  const parts = await partitions(machine);
  const found: FoundVolume[] = [];
  for (const disk of (await realDisks(machine)).slice(0, DISK_LIMIT)) {
    const own = new Map(parts.filter((part) => part.disk === disk).map((part) => [part.number, part.path]));
    const first = own.size > 0 ? own.get(1) : `${machine.dev}/${disk}`;
    const envelope = first === undefined ? undefined : await readEnvelope(first);
    if (envelope === undefined) continue;
    const [data, hash] = [own.get(2), own.get(3)];
    if (envelope.kind === 'other') ui.warn(`${first}: volume of unknown kind ${envelope.number} is ignored`);
    else if (data === undefined || hash === undefined) {
      ui.warn(`${first}: verity volume without data and hash partitions is ignored`);
    } else found.push({ root: envelope.root, data, hash });
  }
  return found;
}

/** Disks with hardware behind them: no partitions, no loop, ram or mapped devices. */
async function realDisks(machine: DiskMachine): Promise<string[]> {
  const out: string[] = [];
  for (const name of await blockDevices(machine)) {
    const dir = `${machine.sysfs}/class/block/${name}`;
    if (!(await exists(`${dir}/partition`)) && (await exists(`${dir}/device`))) out.push(name);
  }
  return out;
}

async function readEnvelope(path: string): Promise<ReturnType<typeof parseEnvelope>> {
  try {
    const handle = await fs.open(path, 'r');
    try {
      const bytes = new Uint8Array(ENVELOPE_SIZE);
      const { bytesRead } = await handle.read(bytes, 0, ENVELOPE_SIZE, 0);
      return parseEnvelope(bytes.subarray(0, bytesRead));
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    ui.warn(`${path} cannot be read and is skipped: ${errorChain(thrown)}`);
    return undefined;
  }
}

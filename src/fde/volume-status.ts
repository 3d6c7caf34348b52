/** Verity volumes by hand: what is there, and the step of the boot. */
import { readAppCompose } from '../config/read-app-compose.ts';
import { printable } from '../ui.ts';
import { type DiskMachine, topMount } from './disk-machine.ts';
import { scanVolumes } from './volume-scan.ts';
import { activeRoot, mapping, mountVerityVolumes } from './volumes.ts';

/** A volume on an attached disk; `root` is what its envelope advertises. */
export interface ListedVolume {
  readonly root: string;
  readonly data: string;
  readonly hash: string;
}

/** A volume that an app asks for. */
export interface VolumeStatus {
  readonly index: number;
  readonly source: string;
  readonly root: string;
  readonly target: string;
  /** a disk with this root hash is attached */
  readonly attached: boolean;
  /** it is open and mounted at the target */
  readonly active: boolean;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The volumes of all attached disks, in the order of their disks. */
export async function listVolumes(machine: DiskMachine): Promise<ListedVolume[]> {
  return (await scanVolumes(machine)).map(({ root, data, hash }) => ({ root: hex(root), data, hash }));
}

/** One line a volume, as `dstack-volume scan` prints it. */
export const listText = (found: readonly ListedVolume[]): string =>
  found.map(({ root, data, hash }) => `${root}\tdata=${printable(data)}\thash=${printable(hash)}`).join('\n');

/** The state of each volume an app-compose.json asks for. @throws FILE_NOT_FOUND, JSON_INVALID, DOCUMENT_INVALID */
export async function volumeStatus(path: string, machine: DiskMachine): Promise<VolumeStatus[]> {
  const verityVolumes = await wantedBy(path);
  const attached = new Set((await listVolumes(machine)).map(({ root }) => root));
  const out: VolumeStatus[] = [];
  // the mapping has the number of the first entry with its root hash
  const first = new Map<string, number>();
  for (const [index, { source, verityRoot, target }] of verityVolumes.entries()) {
    const root = hex(verityRoot);
    const at = first.get(root) ?? index;
    first.set(root, at);
    const active = (await topMount(target, machine)) !== undefined && (await activeRoot(mapping(at), machine)) === root;
    out.push({ index, source, root, target, attached: attached.has(root), active });
  }
  return out;
}

/** Opens and mounts what an app-compose.json asks for; what is mounted already stays. @throws as mountVerityVolumes */
export async function mountVolumesOf(path: string, machine: DiskMachine): Promise<void> {
  await mountVerityVolumes(await wantedBy(path), machine);
}

const wantedBy = async (path: string) => (await readAppCompose(path)).verityVolumes;

/** One line a volume, as `dstack-volume status` prints it. */
export const statusLines = (status: readonly VolumeStatus[]): string =>
  status
    .map(
      ({ index, root, target, attached, active }) =>
        `${index}\troot=${root}\ttarget=${printable(target)}\tattached=${attached}\tactive=${active}`,
    )
    .join('\n');

/** Block devices as the kernel lists them: /sys/class/block (sysfs(5)), never the text of `lsblk`. */
import * as fs from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { DstackError } from '../errors.ts';
import { ifExists } from '../sys/files.ts';
import type { DiskMachine } from './disk-machine.ts';

/** Sizes and offsets of sysfs are in units of 512 bytes, whatever the sector size of the disk is. */
export const SECTOR = 512;

export interface Partition {
  /** kernel name, e.g. `vdb1` */
  readonly name: string;
  /** device node */
  readonly path: string;
  /** kernel name of the disk it lies on, e.g. `vdb` */
  readonly disk: string;
  readonly number: number;
  /** PARTNAME of the GPT, empty when it has none */
  readonly label: string;
  /** PARTUUID in lower case, empty when the kernel does not tell (older than 6.13) */
  readonly uuid: string;
  /** in sectors of 512 bytes */
  readonly start: number;
  readonly size: number;
}

const readText = async (path: string): Promise<string | undefined> =>
  (await ifExists(() => fs.readFile(path, 'utf8')))?.trimEnd();

async function readNumber(path: string): Promise<number> {
  const text = (await readText(path)) ?? '';
  if (!/^\d+$/.test(text)) throw new DstackError('FILE_IO', `${path} does not hold a number`, { path, value: text });
  return Number(text);
}

/** `KEY=value` lines of a uevent file. */
export function parseUevent(text: string): Map<string, string> {
  const out = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at > 0) out.set(line.slice(0, at), line.slice(at + 1));
  }
  return out;
}

/** Kernel names of all block devices, sorted. */
export async function blockDevices(machine: DiskMachine): Promise<string[]> {
  return ((await ifExists(() => fs.readdir(`${machine.sysfs}/class/block`))) ?? []).sort();
}

/** The partition behind a kernel name, or undefined when the name is a whole disk or unknown. */
export async function partition(name: string, machine: DiskMachine): Promise<Partition | undefined> {
  const dir = `${machine.sysfs}/class/block/${name}`;
  const number = await readText(`${dir}/partition`);
  if (number === undefined) return undefined;
  const uevent = parseUevent((await readText(`${dir}/uevent`)) ?? '');
  return {
    name,
    path: `${machine.dev}/${uevent.get('DEVNAME') ?? name}`,
    // /sys/class/block/vdb1 is a link to .../block/vdb/vdb1: the folder above the target is the disk
    disk: basename(dirname(await fs.realpath(dir))),
    number: Number(number),
    label: uevent.get('PARTNAME') ?? '',
    uuid: (uevent.get('PARTUUID') ?? '').toLowerCase(),
    start: await readNumber(`${dir}/start`),
    size: await readNumber(`${dir}/size`),
  };
}

/** All partitions of the machine, sorted by kernel name. Entries that vanish while being read are left out. */
export async function partitions(machine: DiskMachine): Promise<Partition[]> {
  const found = await Promise.all(
    (await blockDevices(machine)).map((name) => ifExists(() => partition(name, machine))),
  );
  return found.filter((entry) => entry !== undefined);
}

/** Kernel name of a device node: links (/dev/disk/by-..., /dev/mapper) are followed first. */
export async function kernelName(device: string): Promise<string> {
  return basename((await ifExists(() => fs.realpath(device))) ?? device);
}

/** The partition a device node stands for, or undefined for a whole disk. */
export async function partitionOf(device: string, machine: DiskMachine): Promise<Partition | undefined> {
  return partition(await kernelName(device), machine);
}

/** Size of a device in sectors of 512 bytes. @throws FILE_IO */
export async function sectors(name: string, machine: DiskMachine): Promise<number> {
  return readNumber(`${machine.sysfs}/class/block/${name}/size`);
}

/** Bytes of a logical block of a disk: 512, or 4096 on disks that know nothing smaller. */
export async function blockSize(disk: string, machine: DiskMachine): Promise<number> {
  return Number((await readText(`${machine.sysfs}/class/block/${disk}/queue/logical_block_size`)) ?? SECTOR);
}

/** Size of a device node or regular file in bytes. @throws FILE_IO */
export async function sizeInBytes(path: string, machine: DiskMachine): Promise<number> {
  const stat = await ifExists(() => fs.stat(path));
  if (stat?.isFile()) return stat.size;
  return (await sectors(await kernelName(path), machine)) * SECTOR;
}

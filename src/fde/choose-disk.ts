/**
 * Which device is the data disk (dstack boot order, data device): an override, else the partition dstack-data, else
 * /dev/vdb. Only a disk that is proven blank is partitioned; everything that is not ours is refused, never changed.
 */

import type { CmdlineReader } from '../config/storage-options.ts';
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import { deviceContent } from './content.ts';
import { createDataPartition, DATA_LABEL, DATA_START } from './create-partition.ts';
import type { DiskMachine } from './disk-machine.ts';
import { isClaimed, readMark } from './marks.ts';
import { kernelName, type Partition, partitionOf, partitions } from './sysfs.ts';

export interface DataDevice {
  /** device node: a partition, or a whole disk that is one LUKS volume (dstack 0.5) */
  readonly device: string;
  readonly how: 'override' | 'partlabel' | 'partition-created' | 'whole-disk-luks';
  readonly created: boolean;
}

export interface ChooseOptions {
  /** the kernel command line */
  readonly cmdline: Pick<CmdlineReader, 'first'>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const PARAMETER = 'dstack.data_device';

/**
 * Finds the data device and, on a blank disk, creates its partition.
 * @throws DISK_NOT_FOUND, DISK_NOT_BLANK (naming what is there)
 */
export async function chooseDataDevice(options: ChooseOptions, machine: DiskMachine): Promise<DataDevice> {
  const known = await partitions(machine);
  const override = overrideOf(options);
  if (override !== undefined) {
    const device = await resolve(override, known, machine);
    if (device !== undefined) return useDisk(device, 'override', known, machine);
    ui.warn(`data device override ${JSON.stringify(override)} leads to no block device: it is ignored`);
  }

  const labelled = known.filter(({ label }) => label === DATA_LABEL);
  const [first, ...others] = labelled;
  if (first !== undefined) {
    if (others.length > 0) {
      ui.warn(`${labelled.length} partitions are named ${DATA_LABEL}: ${first.path} is used, ${names(others)} is not`);
    }
    await refuseUnknown(first.path, machine);
    return { device: first.path, how: 'partlabel', created: false };
  }

  const disk = `${machine.dev}/vdb`;
  if (!(await machine.isBlockDevice(disk))) {
    throw new DstackError('DISK_NOT_FOUND', `no partition is named ${DATA_LABEL} and there is no ${disk}`, {
      path: disk,
    });
  }
  return useDisk(disk, undefined, known, machine);
}

/** The data device behind a device somebody named on the command line. @throws as chooseDataDevice */
export async function namedDataDevice(device: string, machine: DiskMachine): Promise<DataDevice> {
  if (!(await machine.isBlockDevice(device))) {
    throw new DstackError('DISK_NOT_FOUND', `${device} is not a block device`, { path: device });
  }
  return useDisk(device, 'override', await partitions(machine), machine);
}

/** The override as written: kernel command line first (its first occurrence), then the environment. */
function overrideOf({ cmdline, env }: ChooseOptions): string | undefined {
  return (cmdline.first(PARAMETER) ?? env['DSTACK_DATA_DEVICE']) || undefined;
}

/** The device node an override means, or undefined when it means none. */
async function resolve(text: string, known: readonly Partition[], machine: DiskMachine): Promise<string | undefined> {
  const [, kind, value = ''] = /^(PARTLABEL|PARTUUID)=(.+)$/.exec(text) ?? [];
  if (kind === 'PARTLABEL') return known.find(({ label }) => label === value)?.path;
  if (kind === 'PARTUUID') {
    const uuid = value.toLowerCase();
    const found = known.find((entry) => entry.uuid === uuid)?.path;
    if (found !== undefined || !/^[0-9a-f-]+$/.test(uuid)) return found;
    const link = `${machine.dev}/disk/by-partuuid/${uuid}`; // the kernel tells only since 6.13, udev always
    return (await machine.isBlockDevice(link)) ? `${machine.dev}/${await kernelName(link)}` : undefined;
  }
  return text.startsWith(`${machine.dev}/`) && (await machine.isBlockDevice(text)) ? text : undefined;
}

/**
 * Uses a device somebody named: a partition as it is; a whole disk as the reference does with /dev/vdb, after looking
 * for a partition dstack-data on it (which a boot before this one may have made).
 */
async function useDisk(
  device: string,
  how: 'override' | undefined,
  known: readonly Partition[],
  machine: DiskMachine,
): Promise<DataDevice> {
  if ((await partitionOf(device, machine)) !== undefined) {
    await refuseUnknown(device, machine);
    return { device, how: how ?? 'partlabel', created: false };
  }
  const name = await kernelName(device);
  const own = known.filter((entry) => entry.disk === name);
  const data = own.find(({ label }) => label === DATA_LABEL);
  if (data !== undefined) {
    await refuseUnknown(data.path, machine);
    return { device: data.path, how: how ?? 'partlabel', created: false };
  }
  if (own.length > 0) {
    const labels = own.map((entry) => (entry.label === '' ? entry.path : `${entry.path} (${entry.label})`));
    throw notBlank(device, `partitions ${labels.join(', ')}`);
  }
  const claimed = await isClaimed(device, DATA_START, machine);
  const content = await deviceContent(device, machine, { unfinished: claimed });
  const create = async (): Promise<DataDevice> => ({
    device: await createDataPartition(device, machine),
    how: how ?? 'partition-created',
    created: true,
  });
  switch (content.kind) {
    case 'luks':
      return { device, how: how ?? 'whole-disk-luks', created: false };
    case 'blank':
      return create();
    case 'unknown':
      // an interrupted boot had claimed the disk and was about to write its partition table
      if (claimed && (content.table || !content.foreign)) return create();
      throw notBlank(device, content.seen);
    default:
      // an unencrypted volume on a whole disk is somebody else's unless it was named on purpose
      if (how === 'override') return { device, how, created: false };
      throw notBlank(device, `a ${content.kind} file system`);
  }
}

/** Stops before anything (such as growing the partition) changes a device with content we do not know. */
async function refuseUnknown(device: string, machine: DiskMachine): Promise<void> {
  // an interrupted format leaves half a volume behind; whether it may start over is decided when it is opened
  const marks = [await readMark(device, true, machine), await readMark(device, false, machine)];
  const unfinished = marks.some((mark) => mark?.initialising || mark?.ephemeral);
  const content = await deviceContent(device, machine, { unfinished });
  if (content.kind === 'unknown' && (content.foreign || !unfinished)) throw notBlank(device, content.seen);
}

/** The one refusal for data that is not ours. */
export function notBlank(device: string, seen: string): DstackError {
  return new DstackError('DISK_NOT_BLANK', `${device} holds ${seen}: it is not formatted`, {
    path: device,
    value: seen,
  });
}

const names = (list: readonly Partition[]): string => list.map(({ path }) => path).join(', ');

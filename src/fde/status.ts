/** What a person wants to know about the data disk. Changes nothing. */
import { DstackError, errorChain } from '../errors.ts';
import { type Content, deviceContent, fileSystemType } from './content.ts';
import { DATA_LABEL } from './create-partition.ts';
import type { DiskMachine } from './disk-machine.ts';
import { mapperPath } from './luks.ts';
import { BINARY_SIZE, checkLuksHeader, type LuksHeader, readLuksHeader } from './luks-header.ts';
import { type Mark, marksContent, readMark } from './marks.ts';
import { type Partition, partitionOf, partitions, sizeInBytes } from './sysfs.ts';
import { DATASET } from './zfs.ts';

export interface DiskStatus {
  readonly device: string;
  /** bytes */
  readonly size: number;
  readonly partition: Pick<Partition, 'disk' | 'number' | 'label'> | null;
  /** what the volume says about its first boot; null when it says nothing, which means that it is ready */
  readonly mark: Mark | null;
  readonly content: Content;
  /** verdict on the LUKS header; null when there is none */
  readonly header: HeaderStatus | null;
  /** path of the open mapping */
  readonly mapper: string | null;
  /** type of the file system, seen only while the volume is open or not encrypted; empty when unknown */
  readonly fileSystem: string;
  readonly mountPoints: readonly string[];
}

export interface HeaderStatus {
  readonly accepted: boolean;
  /** as the header says it, checked only if accepted; null when it cannot be told */
  readonly uuid: string | null;
  readonly keySlots: number | null;
  /** of the only key slot of an accepted header */
  readonly iterations: number | null;
  /** the broken rule: `copy 0 keyslots.1`, and what is wrong in words */
  readonly rule: string | null;
  readonly reason: string | null;
}

/**
 * Looks at a device, by default the one a boot would take.
 * @throws DISK_NOT_FOUND
 */
export async function diskStatus(device: string | undefined, machine: DiskMachine): Promise<DiskStatus> {
  const path = device ?? (await likelyDevice(machine));
  if (!(await machine.isBlockDevice(path))) {
    throw new DstackError('DISK_NOT_FOUND', `${path} is not a block device`, {
      path,
      ...(device === undefined ? {} : { hint: 'name a disk or a partition: lsblk lists them' }),
    });
  }
  const part = await partitionOf(path, machine);
  const marks = [await readMark(path, true, machine), await readMark(path, false, machine)];
  const unfinished = marks.some((mark) => mark?.initialising);
  const content = await deviceContent(path, machine, { unfinished });
  const mapper = (await machine.isBlockDevice(mapperPath(machine))) ? mapperPath(machine) : null;
  const target = content.kind === 'luks' ? mapper : path;
  return {
    device: path,
    size: await sizeInBytes(path, machine),
    partition: part === undefined ? null : { disk: part.disk, number: part.number, label: part.label },
    mark: marks.find((mark, i) => marksContent(mark, content, i === 0)) ?? null,
    content,
    header: content.kind === 'luks' ? await verdict(path) : null,
    mapper,
    fileSystem: target === null ? '' : await fileSystemType(target, machine),
    mountPoints: (await machine.mounts())
      .filter(({ source }) => source === target || source === DATASET)
      .map(({ mountPoint }) => mountPoint),
  };
}

/** Checks the header of a device or of a backup file. @throws LUKS_HEADER_REJECTED, FILE_IO */
export async function checkHeader(path: string): Promise<LuksHeader> {
  return checkLuksHeader(await readLuksHeader(path));
}

async function verdict(path: string): Promise<HeaderStatus> {
  const bytes = await readLuksHeader(path);
  try {
    const { uuid, iterations } = checkLuksHeader(bytes);
    return { accepted: true, uuid, keySlots: 1, iterations, rule: null, reason: null };
  } catch (thrown) {
    const rule = (thrown instanceof DstackError ? thrown.field : undefined) ?? null;
    return { accepted: false, ...looseFacts(bytes), iterations: null, rule, reason: errorChain(thrown) };
  }
}

/** What a rejected header says about itself, for people only. */
function looseFacts(bytes: Uint8Array): Pick<HeaderStatus, 'uuid' | 'keySlots'> {
  const text = (start: number, end: number): string =>
    Buffer.from(bytes.subarray(start, end))
      .toString('latin1')
      .replace(/\0[\s\S]*$/, '');
  const uuid = /^[0-9a-f-]{36}$/.exec(text(168, 208))?.[0] ?? null;
  try {
    const { keyslots } = JSON.parse(text(BINARY_SIZE, bytes.length >> 1)) as { keyslots?: object };
    return { uuid, keySlots: keyslots === undefined ? null : Object.keys(keyslots).length };
  } catch {
    return { uuid, keySlots: null };
  }
}

async function likelyDevice(machine: DiskMachine): Promise<string> {
  const labelled = (await partitions(machine)).find(({ label }) => label === DATA_LABEL);
  return labelled?.path ?? `${machine.dev}/vdb`;
}

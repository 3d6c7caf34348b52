/** What a person wants to know about the data disk. Changes nothing. */
import { DstackError, errorChain } from '../errors.ts';
import { type Content, deviceContent, fileSystemType } from './content.ts';
import { DATA_LABEL } from './create-partition.ts';
import { mapperPath } from './luks.ts';
import { checkLuksHeader, type LuksHeader, readLuksHeader } from './luks-header.ts';
import { type Marks, readMarks } from './marks.ts';
import { type Surface, SYSTEM } from './surface.ts';
import { type Partition, partitionOf, partitions, sizeInBytes } from './sysfs.ts';
import { DATASET } from './zfs.ts';

export interface DiskStatus {
  readonly device: string;
  /** bytes */
  readonly size: number;
  readonly partition: Pick<Partition, 'disk' | 'number' | 'label'> | null;
  /** null for a whole disk: it cannot carry marks */
  readonly marks: Marks | null;
  readonly content: Content;
  /** verdict on the LUKS header; null when there is none */
  readonly header: { readonly accepted: true; readonly uuid: string } | { accepted: false; reason: string } | null;
  /** path of the open mapping */
  readonly mapper: string | null;
  /** type of the file system, seen only while the volume is open or not encrypted; empty when unknown */
  readonly fileSystem: string;
  readonly mountPoints: readonly string[];
}

/**
 * Looks at a device, by default the one a boot would take.
 * @throws DISK_NOT_FOUND
 */
export async function diskStatus(device?: string, surface: Surface = SYSTEM): Promise<DiskStatus> {
  const path = device ?? (await likelyDevice(surface));
  if (!(await surface.isBlockDevice(path))) {
    throw new DstackError('DISK_NOT_FOUND', `${path} is no block device`, { path });
  }
  const part = await partitionOf(path, surface);
  const content = await deviceContent(path, surface);
  const mapper = (await surface.isBlockDevice(mapperPath(surface))) ? mapperPath(surface) : null;
  const target = content.kind === 'luks' ? mapper : path;
  return {
    device: path,
    size: await sizeInBytes(path, surface),
    partition: part === undefined ? null : { disk: part.disk, number: part.number, label: part.label },
    marks: (await readMarks(path, surface)) ?? null,
    content,
    header: content.kind === 'luks' ? await verdict(path) : null,
    mapper,
    fileSystem: target === null ? '' : await fileSystemType(target, surface),
    mountPoints: (await surface.mounts())
      .filter(({ source }) => source === target || source === DATASET)
      .map(({ mountPoint }) => mountPoint),
  };
}

/** Checks the header of a device or of a backup file. @throws LUKS_HEADER_REJECTED, FILE_IO */
export async function checkHeader(path: string): Promise<LuksHeader> {
  return checkLuksHeader(await readLuksHeader(path));
}

async function verdict(path: string): Promise<DiskStatus['header']> {
  try {
    return { accepted: true, uuid: (await checkHeader(path)).uuid };
  } catch (thrown) {
    return { accepted: false, reason: errorChain(thrown) };
  }
}

async function likelyDevice(surface: Surface): Promise<string> {
  const labelled = (await partitions(surface)).find(({ label }) => label === DATA_LABEL);
  return labelled?.path ?? `${surface.dev}/vdb`;
}

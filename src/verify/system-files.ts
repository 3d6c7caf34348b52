/** Files that say what the system should be: an image folder, a measurement document with its checksum file, a VM's shape. */
import * as fs from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { VmConfig } from '../config/vm-config.ts';
import { DstackError, errorChain } from '../errors.ts';
import {
  CHECKSUM_FILE,
  checkImageFolder,
  readBoundMeasurement,
  readImageFolder,
  readMeasurementDocument,
  readVmConfig,
} from '../os-image/os-image.ts';
import { ifExists, readLimited } from '../sys/files.ts';
import { documentReference, imageReference, type SystemReference } from './system-reference.ts';

const LIMIT = 64 * 1024;

export interface SystemFiles {
  /** an image folder */
  readonly image?: string | undefined;
  /** a measurement document */
  readonly imageMeasurement?: string | undefined;
  /** its checksum file; default sha256sum.txt beside it, and then it may be missing */
  readonly checksumFile?: string | undefined;
}

/**
 * Reads what the user names. A folder whose files do not belong together is still compared: that tells which part it is.
 * @throws INPUT_INVALID (both), EVIDENCE_UNCHECKED when something cannot be read or used
 */
export async function readSystemReferences(files: SystemFiles): Promise<SystemReference[]> {
  const { image, imageMeasurement, checksumFile } = files;
  if (checksumFile !== undefined && imageMeasurement === undefined) {
    throw new DstackError('INPUT_INVALID', '--checksum-file goes with --image-measurement only', {
      field: '--checksum-file',
      value: checksumFile,
    });
  }
  if (image !== undefined && imageMeasurement !== undefined) {
    throw new DstackError('INPUT_INVALID', '--image and --image-measurement exclude each other', {
      field: '--image-measurement',
      value: imageMeasurement,
    });
  }
  if (image !== undefined) return [await usable(image, () => fromFolder(image))];
  if (imageMeasurement !== undefined)
    return [await usable(imageMeasurement, () => fromDocument(imageMeasurement, checksumFile))];
  return [];
}

/** The shape of the VM from a `vm_config` document. @throws EVIDENCE_UNCHECKED */
export function readShape(file: string): Promise<VmConfig> {
  return usable(file, async () => readVmConfig(await readLimited(await fs.realpath(file), LIMIT, file), file));
}

async function usable<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (thrown) {
    throw new DstackError('EVIDENCE_UNCHECKED', `${path} cannot be used to judge the system`, { path, cause: thrown });
  }
}

async function fromFolder(path: string): Promise<SystemReference> {
  const folder = await readImageFolder(path);
  if (folder.checksumFile === undefined) return imageReference(folder);
  try {
    await checkImageFolder(folder);
    return imageReference(folder);
  } catch (thrown) {
    return imageReference(folder, errorChain(thrown));
  }
}

async function fromDocument(file: string, checksums: string | undefined): Promise<SystemReference> {
  const path = await fs.realpath(file);
  const measurement = await readLimited(path, LIMIT, file);
  const checksumFile =
    checksums === undefined
      ? await ifExists(() => readLimited(join(dirname(path), CHECKSUM_FILE), LIMIT))
      : await readLimited(await fs.realpath(checksums), LIMIT, checksums);
  const name = `measurement document ${file}`;
  if (checksumFile === undefined)
    return documentReference('document', name, readMeasurementDocument(measurement, file));
  const { document, osImageHash } = readBoundMeasurement({ checksumFile, measurement });
  return documentReference('document', name, document, osImageHash);
}

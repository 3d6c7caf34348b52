/** The files of an image and whether they are those of its identity, wherever they are kept. */
import { toHex } from '../codec/hex.ts';
import { sha256, sha384 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import { CHECKSUM_FILE, osImageHash, parseChecksumFile } from './checksum-file.ts';
import { MEASUREMENT_FILE, writeMeasurementDocument } from './document.ts';
import { METADATA_FILE, readImageMetadata } from './metadata.ts';
import { documentOfImage, type ImageParts } from './predict.ts';

export interface ImageFolder {
  /** for people: where the files are */
  readonly dir: string;
  readonly parts: ImageParts;
  /** bytes of sha256sum.txt; undefined without one */
  readonly checksumFile: Uint8Array | undefined;
  /** SHA-256 of it, 32 bytes */
  readonly osImageHash: Uint8Array | undefined;
  /** bytes of measurement.tdx.cbor; undefined without one */
  readonly measurement: Uint8Array | undefined;
}

const missing = (dir: string, name: string): DstackError =>
  new DstackError('FILE_NOT_FOUND', `file ${dir}/${name} does not exist`, { path: `${dir}/${name}` });

/**
 * An image of files in memory, by their names. Nothing is compared yet: `checkImageFiles` does.
 * @throws FILE_NOT_FOUND, JSON_INVALID, DOCUMENT_INVALID
 */
export function imageOfFiles(files: ReadonlyMap<string, Uint8Array>, dir: string): ImageFolder {
  const file = (name: string): Uint8Array => {
    const bytes = files.get(name);
    if (bytes === undefined) throw missing(dir, name);
    return bytes;
  };
  const metadata = readImageMetadata(file(METADATA_FILE), `${dir}/${METADATA_FILE}`);
  const initrd = file(metadata.initrd);
  const checksumFile = files.get(CHECKSUM_FILE);
  return {
    dir,
    parts: {
      metadata,
      firmware: file(metadata.bios),
      kernel: file(metadata.kernel),
      initrd: { size: initrd.length, sha384: sha384(initrd) },
    },
    checksumFile,
    osImageHash: checksumFile && osImageHash(checksumFile),
    measurement: files.get(MEASUREMENT_FILE),
  };
}

/** The finder of `checkImageFiles` for files in memory. @throws FILE_NOT_FOUND */
export const digestOfFiles =
  (files: ReadonlyMap<string, Uint8Array>, dir: string) =>
  async (name: string): Promise<Uint8Array> => {
    const bytes = files.get(name);
    if (bytes === undefined) throw missing(dir, name);
    return sha256(bytes);
  };

/**
 * Compares the files with the checksum file: every file that it names, and that firmware, kernel, initrd and command line
 * are bound by it, each by a line of its own or through the measurement document.
 * @param digestOf SHA-256 of a file that the checksum file names, 32 bytes
 * @returns os_image_hash, 32 bytes
 * @throws OS_IMAGE_INVALID naming the file and both values; DOCUMENT_INVALID (checksum file); what `digestOf` throws
 */
export async function checkImageFiles(
  folder: ImageFolder,
  digestOf: (name: string) => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const { dir, parts, checksumFile, measurement } = folder;
  if (checksumFile === undefined || folder.osImageHash === undefined) {
    throw new DstackError('OS_IMAGE_INVALID', `image folder ${dir} has no ${CHECKSUM_FILE}: it has no identity`, {
      path: dir,
      field: CHECKSUM_FILE,
    });
  }
  const checksums = parseChecksumFile(checksumFile, `${dir}/${CHECKSUM_FILE}`);
  for (const [name, stated] of checksums) {
    const found = toHex(await digestOf(name));
    if (found !== toHex(stated)) throw differs(dir, name, found, toHex(stated));
  }
  if (measurement !== undefined && checksums.has(MEASUREMENT_FILE)) {
    const own = writeMeasurementDocument(documentOfImage(parts));
    if (toHex(own) === toHex(measurement)) return folder.osImageHash;
    throw new DstackError('OS_IMAGE_INVALID', `${MEASUREMENT_FILE} in ${dir} is not that of the files beside it`, {
      path: dir,
      field: MEASUREMENT_FILE,
    });
  }
  const { bios, kernel, initrd } = parts.metadata;
  for (const name of [METADATA_FILE, bios, kernel, initrd]) {
    if (checksums.has(name)) continue;
    throw new DstackError('OS_IMAGE_INVALID', `${CHECKSUM_FILE} in ${dir} does not name ${name}`, {
      path: dir,
      field: name,
    });
  }
  return folder.osImageHash;
}

const differs = (dir: string, name: string, found: string, stated: string): DstackError =>
  new DstackError('OS_IMAGE_INVALID', `${name} in ${dir} has SHA-256 ${found}, ${CHECKSUM_FILE} says ${stated}`, {
    path: `${dir}/${name}`,
    field: name,
    value: found,
  });

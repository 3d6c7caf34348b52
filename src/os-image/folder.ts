/** An image folder on disk: bounded reads, no symbolic links, and whether its files are those of its identity. */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { DstackError } from '../errors.ts';
import { ifExists, readLimited } from '../sys/files.ts';
import { CHECKSUM_FILE, CHECKSUM_LIMIT, osImageHash } from './checksum-file.ts';
import { MEASUREMENT_FILE, MEASUREMENT_LIMIT } from './document.ts';
import { checkImageFiles, type ImageFolder } from './image-files.ts';
import { KERNEL_LIMIT } from './kernel-patch.ts';
import { METADATA_FILE, METADATA_LIMIT, readImageMetadata } from './metadata.ts';
import { FIRMWARE_LIMIT } from './tdvf.ts';

/** Largest initrd in bytes; it is hashed, not held. */
const INITRD_LIMIT = 1024 * 1024 * 1024;
/** Largest other file that a checksum file names, bytes. */
const FILE_LIMIT = 64 * 1024 * 1024 * 1024;
const CHUNK = 1024 * 1024;

/**
 * Reads metadata.json and what it names for measuring. Nothing is compared yet: `checkImageFolder` does.
 * @throws FILE_NOT_FOUND, FILE_NOT_REGULAR, FILE_TOO_LARGE, FILE_IO, JSON_INVALID, DOCUMENT_INVALID
 */
export async function readImageFolder(dir: string): Promise<ImageFolder> {
  const metadataPath = join(dir, METADATA_FILE);
  const metadata = readImageMetadata(await readLimited(metadataPath, METADATA_LIMIT), metadataPath);
  const firmware = await readLimited(join(dir, metadata.bios), FIRMWARE_LIMIT);
  const kernel = await readLimited(join(dir, metadata.kernel), KERNEL_LIMIT);
  const initrd = await hashFile(join(dir, metadata.initrd), 'sha384', INITRD_LIMIT);
  const checksumFile = await ifExists(() => readLimited(join(dir, CHECKSUM_FILE), CHECKSUM_LIMIT));
  const measurement = await ifExists(() => readLimited(join(dir, MEASUREMENT_FILE), MEASUREMENT_LIMIT));
  return {
    dir,
    parts: { metadata, firmware, kernel, initrd: { size: initrd.size, sha384: initrd.digest } },
    checksumFile,
    osImageHash: checksumFile && osImageHash(checksumFile),
    measurement,
  };
}

/** `checkImageFiles` for the files of a folder. @throws as it, and FILE_* */
export const checkImageFolder = (folder: ImageFolder): Promise<Uint8Array> =>
  checkImageFiles(folder, async (name) => (await hashFile(join(folder.dir, name), 'sha256', FILE_LIMIT)).digest);

/** Size and digest of a regular file without holding it. @throws FILE_NOT_FOUND, FILE_NOT_REGULAR, FILE_TOO_LARGE, FILE_IO */
async function hashFile(
  path: string,
  algorithm: 'sha256' | 'sha384',
  limit: number,
): Promise<{ readonly size: number; readonly digest: Uint8Array }> {
  const handle = await open(path);
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new DstackError('FILE_NOT_REGULAR', `file ${path} is not a regular file`, { path });
    const hash = createHash(algorithm);
    const chunk = new Uint8Array(CHUNK);
    for (let size = 0; ; ) {
      if (size > limit) {
        throw new DstackError('FILE_TOO_LARGE', `file ${path} is too large, max size is ${limit} bytes`, { path });
      }
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, size);
      if (bytesRead === 0) return { size, digest: new Uint8Array(hash.digest()) };
      hash.update(chunk.subarray(0, bytesRead));
      size += bytesRead;
    }
  } catch (thrown) {
    if (thrown instanceof DstackError) throw thrown;
    throw new DstackError('FILE_IO', `cannot read ${path}`, { path, cause: thrown });
  } finally {
    await handle.close();
  }
}

async function open(path: string): Promise<fs.FileHandle> {
  try {
    return await fs.open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new DstackError('FILE_NOT_FOUND', `file ${path} does not exist`, { path });
    if (code === 'ELOOP') throw new DstackError('FILE_NOT_REGULAR', `file ${path} is a symbolic link`, { path });
    throw new DstackError('FILE_IO', `cannot open ${path}`, { path, cause: thrown });
  }
}

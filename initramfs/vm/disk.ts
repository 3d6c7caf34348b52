/** Data disks: sparse raw files. */
import { createHash } from 'node:crypto';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

export const DEFAULT_DISK_SIZE = 4 * 1024 ** 3;

/** Makes sure that a disk of this size exists; an existing one is kept, or replaced by a blank one if `blank`. */
export async function ensureDisk(file: string, options: { size?: number; blank?: boolean } = {}): Promise<void> {
  if (options.blank) await rm(file, { force: true });
  await mkdir(dirname(file), { recursive: true });
  const handle = await open(file, 'a');
  try {
    const size = options.size ?? DEFAULT_DISK_SIZE;
    if ((await handle.stat()).size < size) await handle.truncate(size);
  } finally {
    await handle.close();
  }
}

/** Writes bytes into a disk at an offset. */
export async function writeDisk(file: string, offset: number, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.write(bytes, 0, bytes.length, offset);
  } finally {
    await handle.close();
  }
}

/** Reads bytes of a disk. */
export async function readDisk(file: string, offset: number, length: number): Promise<Uint8Array> {
  const handle = await open(file, 'r');
  try {
    const bytes = new Uint8Array(length);
    const { bytesRead } = await handle.read(bytes, 0, length, offset);
    return bytes.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/**
 * SHA-256 of a disk's content, plus what the file occupies: a write of zeros into a hole changes the latter only.
 * A disk of some GiB that is mostly a hole takes seconds; keep test disks small.
 */
export async function fingerprint(file: string): Promise<string> {
  const hash = createHash('sha256');
  const handle = await open(file, 'r');
  try {
    // the host's file system decides late where earlier writes of the guest go, and counts blocks only then
    await handle.sync();
    const chunk = new Uint8Array(4 * 1024 * 1024);
    for (let offset = 0; ; ) {
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, offset);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      offset += bytesRead;
    }
  } finally {
    await handle.close();
  }
  return `${hash.digest('hex')} ${(await stat(file)).blocks}`;
}

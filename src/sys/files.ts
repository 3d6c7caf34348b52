/**
 * File access for hostile and for precious files: bounded reads that follow no symbolic link, and atomic writes whose
 * final mode holds from the first byte.
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { DstackError } from '../errors.ts';
import { effect } from './effects.ts';

export { utf8 } from './utf8.ts';

const errnoOf = (thrown: unknown): string => (thrown as NodeJS.ErrnoException | undefined)?.code ?? '';

/** `ENOENT`-tolerant helper: undefined when the file (or a parent) does not exist. */
export async function ifExists<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ENOTDIR') return undefined;
    if (thrown instanceof DstackError && thrown.code === 'FILE_NOT_FOUND') return undefined;
    throw thrown;
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await ifExists(() => fs.stat(path))) !== undefined;
}

/**
 * Reads a regular file of at most `limit` bytes without following a symbolic link in its last component.
 * Reads what is there, not what `stat` promised: a host share may change under us.
 * @throws FILE_NOT_FOUND, FILE_NOT_REGULAR, FILE_TOO_LARGE, FILE_IO
 */
export async function readLimited(path: string, limit: number, name = path): Promise<Uint8Array> {
  let handle: fs.FileHandle;
  try {
    handle = await fs.open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT') throw new DstackError('FILE_NOT_FOUND', `file ${name} does not exist`, { path });
    if (errnoOf(thrown) === 'ELOOP')
      throw new DstackError('FILE_NOT_REGULAR', `file ${name} is a symbolic link`, { path });
    throw new DstackError('FILE_IO', `cannot open ${name}`, { path, cause: thrown });
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) throw new DstackError('FILE_NOT_REGULAR', `file ${name} is not a regular file`, { path });
    const tooLarge = () =>
      new DstackError('FILE_TOO_LARGE', `file ${name} is too large, max size is ${limit} bytes`, {
        path,
        value: stat.size,
      });
    if (stat.size > limit) throw tooLarge();
    const chunks: Uint8Array[] = [];
    let total = 0;
    for (;;) {
      const chunk = new Uint8Array(Math.min(65_536, limit + 1 - total));
      const { bytesRead } = await handle.read(chunk, 0, chunk.length, total);
      if (bytesRead === 0) break;
      total += bytesRead;
      if (total > limit) throw tooLarge();
      chunks.push(chunk.subarray(0, bytesRead));
    }
    const out = new Uint8Array(total);
    let at = 0;
    for (const chunk of chunks) {
      out.set(chunk, at);
      at += chunk.length;
    }
    return out;
  } catch (thrown) {
    if (thrown instanceof DstackError) throw thrown;
    throw new DstackError('FILE_IO', `cannot read ${name}`, { path, cause: thrown });
  } finally {
    await handle.close();
  }
}

/**
 * As `readLimited`, and nobody but the owner may read the file: it holds secrets.
 * @throws FILE_NOT_PRIVATE beside the errors of `readLimited`
 */
export async function readSecretFile(path: string, limit: number): Promise<Uint8Array> {
  const bytes = await readLimited(path, limit);
  const { mode } = await fs.lstat(path);
  if ((mode & 0o077) === 0) return bytes;
  wipe(bytes);
  const shown = (mode & 0o777).toString(8).padStart(4, '0');
  throw new DstackError('FILE_NOT_PRIVATE', `file ${path} holds secrets, but others may read it`, {
    path,
    value: shown,
  });
}

/** Writes a file atomically: temporary file in the same folder with the final mode, fsync, rename, fsync of the folder. */
export async function writeAtomic(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  await effect(`write ${path} (${data.length} bytes, mode ${mode.toString(8).padStart(4, '0')})`, undefined, () =>
    writeThrough(path, data, mode),
  );
}

async function writeThrough(path: string, data: Uint8Array | string, mode: number): Promise<void> {
  const dir = dirname(path);
  const temp = `${path}.${process.pid}.${Math.random().toString(36).slice(2, 8)}.tmp`;
  try {
    const handle = await fs.open(
      temp,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      mode,
    );
    try {
      await handle.chmod(mode); // the umask may have taken bits away
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await fs.rename(temp, path);
    const folder = await fs.open(dir, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await folder.sync();
    } catch {
      // some file systems (9p, FUSE) cannot sync a folder: the rename itself is done
    } finally {
      await folder.close();
    }
  } catch (thrown) {
    await fs.rm(temp, { force: true });
    throw new DstackError('FILE_IO', `cannot write ${path}`, { path, cause: thrown });
  }
}

/** Creates a folder and its parents. */
export async function makeDir(path: string, mode = 0o755): Promise<void> {
  await effect(`mkdir ${path}`, undefined, () => fs.mkdir(path, { recursive: true, mode }));
}

/** Makes `path` a symbolic link to `target`, replacing an older link or file. */
export async function makeLink(target: string, path: string): Promise<void> {
  await effect(`link ${path} -> ${target}`, undefined, async () => {
    const temp = `${path}.${process.pid}.tmp`;
    await fs.rm(temp, { force: true });
    await fs.symlink(target, temp);
    await fs.rename(temp, path);
  });
}

/** Overwrites a secret buffer. Call it where the secret's life ends. */
export function wipe(...buffers: (Uint8Array | undefined)[]): void {
  for (const buffer of buffers) buffer?.fill(0);
}

/**
 * Bounded reads without promises, for loops over thousands of small files: there, waiting for each read in the event loop
 * costs several times as much as the read. Never in a process that serves anybody meanwhile.
 */
import * as fs from 'node:fs';
import { DstackError } from '../errors.ts';

const CHUNK = 65_536;
const FLAGS = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The text of a regular file of at most `limit` bytes; a symbolic link in the last component is not followed. Reads what
 * is there, not what `stat` promised.
 * @returns undefined when there is no such file
 * @throws FILE_NOT_REGULAR, FILE_TOO_LARGE, DOCUMENT_INVALID (not UTF-8), FILE_IO
 */
export function readTextSync(path: string, limit: number): string | undefined {
  // an error that is thrown costs more than all reads of one file, so what may be missing is asked for first
  const found = attempt(path, () => fs.lstatSync(path, { throwIfNoEntry: false }));
  if (found === undefined) return undefined;
  if (!found.isFile()) throw notRegular(path);
  const descriptor = attempt(path, () => fs.openSync(path, FLAGS));
  let bytes: Uint8Array;
  try {
    bytes = attempt(path, () => readAll(descriptor, path, limit, found.size));
  } finally {
    fs.closeSync(descriptor);
  }
  try {
    return decoder.decode(bytes);
  } catch (thrown) {
    throw new DstackError('DOCUMENT_INVALID', `file ${path} is not UTF-8 text`, { path, cause: thrown });
  }
}

/** @param expected the size it had a moment ago: enough for one read, unless it grows */
function readAll(descriptor: number, path: string, limit: number, expected: number): Uint8Array {
  if (expected > limit) throw tooLarge(path, limit);
  let buffer = Buffer.allocUnsafe(Math.max(1, Math.min(expected + 1, limit + 1)));
  let total = 0;
  for (;;) {
    const count = fs.readSync(descriptor, buffer, total, buffer.length - total, null);
    total += count;
    // one byte more than expected was asked for: a full answer only means that the file has grown
    if (count === 0 || (total === expected && total < buffer.length)) return buffer.subarray(0, total);
    if (total > limit) throw tooLarge(path, limit);
    if (total === buffer.length) buffer = Buffer.concat([buffer, Buffer.allocUnsafe(CHUNK)]);
  }
}

const notRegular = (path: string) =>
  new DstackError('FILE_NOT_REGULAR', `file ${path} is not a regular file`, { path });
const tooLarge = (path: string, limit: number) =>
  new DstackError('FILE_TOO_LARGE', `file ${path} is too large, max size is ${limit} bytes`, { path });

function attempt<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof DstackError) throw thrown;
    if ((thrown as NodeJS.ErrnoException).code === 'ELOOP') throw notRegular(path);
    throw new DstackError('FILE_IO', `cannot read ${path}`, { path, cause: thrown });
  }
}

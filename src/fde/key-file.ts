/** Reads a disk key for the commands a person runs: from stdin or from a private file, never from the command line. */
import * as fs from 'node:fs/promises';
import { DISK_KEY_SIZE } from '../config/app-keys.ts';
import { DstackError } from '../errors.ts';
import { ifExists, readLimited, wipe } from '../sys/files.ts';
import { readStdin } from '../sys/stdin.ts';

/** 64 hex digits and a line end, or 32 raw bytes. */
const LIMIT = 2 * DISK_KEY_SIZE + 2;

/**
 * Reads a key of 32 bytes.
 * @param source `-` for stdin, else a file that only its owner can read
 * @throws INPUT_INVALID for another form or an open file mode, FILE_NOT_FOUND; the key is in no message
 */
export async function readDiskKey(source: string): Promise<Uint8Array> {
  const bytes = source === '-' ? await readStdin(LIMIT) : await readPrivate(source);
  try {
    return parseDiskKey(bytes, source === '-' ? 'stdin' : source);
  } finally {
    wipe(bytes);
  }
}

/** 32 raw bytes, or 64 hex digits with at most one line end. The result is a copy. @throws INPUT_INVALID */
export function parseDiskKey(bytes: Uint8Array, name: string): Uint8Array {
  if (bytes.length === DISK_KEY_SIZE) return new Uint8Array(bytes);
  const text = Buffer.from(bytes)
    .toString('latin1')
    .replace(/\r?\n$/, '');
  if (!/^[0-9a-fA-F]{64}$/.test(text)) {
    throw new DstackError('INPUT_INVALID', `${name} does not hold a disk key (32 bytes or 64 hex digits)`, {
      field: '--key-file',
    });
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}

async function readPrivate(path: string): Promise<Uint8Array> {
  const mode = (await ifExists(() => fs.stat(path)))?.mode ?? 0;
  if ((mode & 0o077) !== 0) {
    throw new DstackError('INPUT_INVALID', `key file ${path} is open to others (mode ${(mode & 0o777).toString(8)})`, {
      path,
      field: '--key-file',
      hint: 'chmod 600 it, and treat the key as known to others',
    });
  }
  return readLimited(path, LIMIT);
}

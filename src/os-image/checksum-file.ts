/** `sha256sum.txt`: the files that make up the identity of an image; its own hash is that identity (os-image, section 1). */

import { fromHex, toHex } from '../codec/hex.ts';
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import { utf8 } from '../sys/utf8.ts';
import { isFileName } from './metadata.ts';

export const CHECKSUM_FILE = 'sha256sum.txt';
export const DIGEST_FILE = 'digest.txt';
/** Largest file in bytes. */
export const CHECKSUM_LIMIT = 65_536;

/** File names with their SHA-256 (32 bytes), in the order of the lines. */
export type Checksums = ReadonlyMap<string, Uint8Array>;

/** os_image_hash: SHA-256 of the checksum file's bytes, 32 bytes. */
export function osImageHash(checksumFile: Uint8Array): Uint8Array {
  return sha256(checksumFile);
}

/**
 * Reads lines of `sha256sum` in text mode: 64 hex digits, two spaces, a file name.
 * @throws DOCUMENT_INVALID naming the line: for another form, and for a name that occurs twice or leads out of the folder
 */
export function parseChecksumFile(bytes: Uint8Array, path: string = CHECKSUM_FILE): Checksums {
  const fail = (line: number, why: string) =>
    new DstackError('DOCUMENT_INVALID', `line ${line} of ${path} ${why}`, { path, field: `line ${line}` });
  if (bytes.length > CHECKSUM_LIMIT) {
    throw new DstackError('DOCUMENT_INVALID', `${path} has more than ${CHECKSUM_LIMIT} bytes`, { path });
  }
  const lines = utf8(bytes, path).split('\n');
  if (lines.at(-1) === '') lines.pop();
  const checksums = new Map<string, Uint8Array>();
  for (const [index, line] of lines.entries()) {
    const [, digits = '', name = ''] = /^([0-9a-fA-F]{64}) {2}(.+)$/u.exec(line) ?? [];
    if (digits === '') throw fail(index + 1, 'is not a SHA-256 in hex, two spaces and a file name');
    if (!isFileName(name)) throw fail(index + 1, 'does not name a file in the image folder');
    if (checksums.has(name)) throw fail(index + 1, `names ${name} a second time`);
    checksums.set(name, fromHex(digits));
  }
  if (checksums.size === 0) throw fail(1, 'is missing: the file names nothing');
  return checksums;
}

/** The bytes of a checksum file over these files, in their order. */
export function formatChecksumFile(checksums: Checksums): Uint8Array {
  const lines = [...checksums].map(([name, digest]) => `${toHex(digest)}  ${name}\n`);
  return new TextEncoder().encode(lines.join(''));
}

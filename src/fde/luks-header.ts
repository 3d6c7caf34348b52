/**
 * The check of a LUKS2 header before cryptsetup sees it (dstack boot order, header validation; LUKS2 On-Disk Format
 * Specification 1.1, section 2).
 *
 * The disk belongs to the host. cryptsetup would follow whatever a header says: no cipher at all, a second key slot with
 * a key the host knows, a token that runs a plugin, a key derivation that eats all memory or never ends, a digest of the
 * wrong length, with which any key counts as the right one. So both copies must be exactly what this program (or the
 * reference) writes, and both must be whole: a copy with a wrong checksum makes cryptsetup search for another one, at
 * places that nobody has checked.
 *
 * Free are the sequence number, the salts, the UUID (of its form), the digest, the iteration counts within bounds, and
 * where the key slot lies. Another value of one of these opens nothing: they take part in deriving or comparing the key,
 * or mean nothing to it. test/fde/header-judge.test.ts asks the real cryptsetup about every one.
 */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { DstackError } from '../errors.ts';
import { BINARY_SIZE, checkLuksJson, type LuksJsonFacts, PAYLOAD_OFFSET } from './luks-json.ts';

export { BINARY_SIZE } from './luks-json.ts';

const MAGIC = ['4c554b53babe', '534b554cbabe'] as const; // "LUKS" 0xba 0xbe, "SKUL" 0xba 0xbe
const VERSION = 2;
/** hdr_size of one copy: the sizes of the specification, 16 KiB to 4 MiB. */
const HEADER_SIZES = Array.from({ length: 9 }, (_, i) => 16_384 * 2 ** i);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const CHECKSUM_AT = 448;
const CHECKSUM_SIZE = 32;
/** What the format calls padding: behind hdr_offset, behind the 32 bytes of a SHA-256, behind the checksum field. */
const PADDING = [
  [264, CHECKSUM_AT],
  [CHECKSUM_AT + CHECKSUM_SIZE, BINARY_SIZE],
] as const;

export interface LuksHeader extends LuksJsonFacts {
  /** size of one copy in bytes: binary part and JSON area */
  readonly headerSize: number;
  readonly uuid: string;
  /** sequence number of copy 0 */
  readonly sequence: bigint;
}

/**
 * Checks both copies.
 * @param bytes a header backup, or at least the first two header sizes of a device
 * @throws LUKS_HEADER_REJECTED naming the copy, the field and the value
 */
export function checkLuksHeader(bytes: Uint8Array): LuksHeader {
  const first = checkCopy(bytes, 0, 0);
  const second = checkCopy(bytes, 1, first.headerSize);
  const same = (field: string, here: unknown, there: unknown): void => {
    if (here !== there) throw rejected(1, field, here, `differs from copy 0, which says ${there}`);
  };
  same('hdr_size', second.headerSize, first.headerSize);
  same('seqid', second.sequence, first.sequence);
  same('uuid', second.uuid, first.uuid);
  if (!area(bytes, 0, first.headerSize).equals(area(bytes, first.headerSize, first.headerSize))) {
    throw rejected(1, 'json', `${first.headerSize - BINARY_SIZE} bytes`, 'differs from copy 0');
  }
  return first;
}

/**
 * Reads as much of a device or backup file as the check needs: both copies, at most 32 MiB.
 * @throws FILE_IO
 */
export async function readLuksHeader(path: string): Promise<Uint8Array> {
  let handle: fs.FileHandle | undefined;
  try {
    handle = await fs.open(path, 'r');
    const binary = Buffer.alloc(BINARY_SIZE);
    await handle.read(binary, 0, BINARY_SIZE, 0);
    const size = binary.readBigUInt64BE(8);
    // a size out of bounds is for the check to refuse
    const sane = size >= BigInt(BINARY_SIZE) && size <= BigInt(PAYLOAD_OFFSET);
    const bytes = Buffer.alloc(sane ? 2 * Number(size) : BINARY_SIZE);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytesRead);
  } catch (thrown) {
    throw new DstackError('FILE_IO', `cannot read the luks header of ${path}`, { path, cause: thrown });
  } finally {
    await handle?.close();
  }
}

/** The JSON area of the copy at `start`. */
function area(bytes: Uint8Array, start: number, headerSize: number): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start + BINARY_SIZE, headerSize - BINARY_SIZE);
}

function checkCopy(bytes: Uint8Array, copy: 0 | 1, start: number): LuksHeader {
  if (bytes.length < start + BINARY_SIZE) {
    throw rejected(copy, 'length', bytes.length, `too short: copy ${copy} starts at byte ${start}`);
  }
  const binary = Buffer.from(bytes.buffer, bytes.byteOffset + start, BINARY_SIZE);
  const text = (at: number, length: number): string => {
    const field = binary.subarray(at, at + length);
    const end = field.indexOf(0);
    return field.subarray(0, end < 0 ? length : end).toString('latin1');
  };
  const empty = (from: number, to: number): boolean => zeros(binary.subarray(from, to));
  const magic = binary.toString('hex', 0, 6);
  if (magic !== MAGIC[copy]) throw rejected(copy, 'magic', magic, `is not ${MAGIC[copy]}`);
  const version = binary.readUInt16BE(6);
  if (version !== VERSION) throw rejected(copy, 'version', version, 'is not 2: an older format is a downgrade');

  const size = binary.readBigUInt64BE(8);
  const headerSize = HEADER_SIZES.find((allowed) => BigInt(allowed) === size);
  if (headerSize === undefined) throw rejected(copy, 'hdr_size', size, `is not one of ${HEADER_SIZES.join(', ')}`);
  for (const [field, at] of [['label', 24] as const, ['subsystem', 208] as const]) {
    if (!empty(at, at + 48)) {
      throw rejected(copy, field, text(at, 48), 'is not empty: anybody could have written this text');
    }
  }
  if (binary.toString('latin1', 72, 104) !== 'sha256'.padEnd(32, '\0')) {
    throw rejected(copy, 'csum_alg', text(72, 32), 'is not sha256');
  }
  const offset = binary.readBigUInt64BE(256);
  if (offset !== BigInt(copy) * size) {
    throw rejected(copy, 'hdr_offset', offset, `is not ${copy} times hdr_size`);
  }

  if (bytes.length < start + headerSize) {
    throw rejected(copy, 'length', bytes.length, `too short: copy ${copy} ends at byte ${start + headerSize}`);
  }
  const json = area(bytes, start, headerSize);
  const end = json.indexOf(0);
  if (end < 0) throw rejected(copy, 'json', `${json.length} bytes`, 'has no end');
  const facts = checkLuksJson(json.subarray(0, end), headerSize, (field, value, why) => {
    throw rejected(copy, field, value, why);
  });
  const uuid = text(168, 40);
  if (!UUID.test(uuid) || !empty(168 + uuid.length, 208)) {
    throw rejected(copy, 'uuid', uuid, 'is not a UUID in lower-case letters');
  }
  for (const [from, to] of PADDING) {
    if (!empty(from, to)) throw rejected(copy, 'padding', `bytes ${from} to ${to}`, 'is not empty');
  }
  if (!zeros(json.subarray(end))) throw rejected(copy, 'json', `bytes from ${end} on`, 'has bytes after its end');
  // last: whoever bends a header repairs its checksum, so the fields are what says most about it
  if (!checksum(binary, json).equals(binary.subarray(CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_SIZE))) {
    throw rejected(copy, 'csum', binary.toString('hex', CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_SIZE), 'is wrong');
  }
  return { ...facts, headerSize, uuid, sequence: binary.readBigUInt64BE(16) };
}

const zeros = (bytes: Uint8Array): boolean => Buffer.alloc(bytes.length).equals(bytes);

/** SHA-256 over a copy in which the checksum itself is zeros. */
function checksum(binary: Uint8Array, json: Uint8Array): Buffer {
  const hash = createHash('sha256').update(binary.subarray(0, CHECKSUM_AT)).update(new Uint8Array(64));
  return hash
    .update(binary.subarray(CHECKSUM_AT + 64))
    .update(json)
    .digest();
}

function rejected(copy: 0 | 1, field: string, value: unknown, why: string): DstackError {
  const shown = typeof value === 'string' || typeof value === 'bigint' ? String(value) : JSON.stringify(value);
  return new DstackError('LUKS_HEADER_REJECTED', `luks header copy ${copy}: ${field} ${why}`, {
    field: `copy ${copy} ${field}`,
    value: shown === undefined ? 'missing' : shown,
  });
}

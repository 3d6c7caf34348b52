/**
 * The check of a LUKS2 header before cryptsetup sees it (dstack boot order, header validation; LUKS2 On-Disk Format
 * Specification 1.1, section 2).
 *
 * The disk belongs to the host. cryptsetup would follow whatever a header says: no cipher at all, a second key slot with
 * a key the host knows, a token that runs a plugin, a key derivation that eats all memory. So both copies of the header
 * must be exactly what this program (or the reference) writes. What is not checked: sequence number, salts, UUID,
 * digests and checksum; a wrong one of these makes cryptsetup fail, it cannot weaken the volume.
 */
import * as fs from 'node:fs/promises';
import { DstackError } from '../errors.ts';
import { checkLuksJson, type LuksJsonFacts, PAYLOAD_OFFSET } from './luks-json.ts';

/** The binary part of each copy. */
export const BINARY_SIZE = 4096;

const MAGIC = ['4c554b53babe', '534b554cbabe'] as const; // "LUKS" 0xba 0xbe, "SKUL" 0xba 0xbe
const VERSION = 2;

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
  if (second.headerSize !== first.headerSize) {
    throw rejected(1, 'hdr_size', second.headerSize, `differs from copy 0, which says ${first.headerSize}`);
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
  const magic = binary.toString('hex', 0, 6);
  if (magic !== MAGIC[copy]) throw rejected(copy, 'magic', magic, `is not ${MAGIC[copy]}`);
  const version = binary.readUInt16BE(6);
  if (version !== VERSION) throw rejected(copy, 'version', version, 'is not 2: an older format is a downgrade');

  const size = binary.readBigUInt64BE(8);
  if (size < BigInt(BINARY_SIZE) || size > BigInt(PAYLOAD_OFFSET)) {
    throw rejected(copy, 'hdr_size', size, `is not between ${BINARY_SIZE} and ${PAYLOAD_OFFSET}`);
  }
  const headerSize = Number(size);
  for (const [field, at] of [['label', 24] as const, ['subsystem', 208] as const]) {
    if (binary.subarray(at, at + 48).some((byte) => byte !== 0)) {
      throw rejected(copy, field, text(at, 48), 'is not empty: it is free text of whoever wrote the disk');
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
  const area = bytes.subarray(start + BINARY_SIZE, start + headerSize);
  const end = area.indexOf(0);
  const facts = checkLuksJson(end < 0 ? area : area.subarray(0, end), headerSize, (field, value, why) => {
    throw rejected(copy, field, value, why);
  });
  return { ...facts, headerSize, uuid: text(168, 40), sequence: binary.readBigUInt64BE(16) };
}

function rejected(copy: 0 | 1, field: string, value: unknown, why: string): DstackError {
  const shown = typeof value === 'string' || typeof value === 'bigint' ? String(value) : JSON.stringify(value);
  return new DstackError('LUKS_HEADER_REJECTED', `luks header copy ${copy}: ${field} ${why}`, {
    field: `copy ${copy} ${field}`,
    value: shown === undefined ? 'missing' : shown,
  });
}

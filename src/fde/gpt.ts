/**
 * GUID partition tables (UEFI Specification 2.10, section 5.3): reading, making and enlarging one, as bytes.
 *
 * sgdisk and parted write the two sectors of a changed table in place, one after the other: a power cut between them
 * leaves a primary table that the kernel refuses, and Linux does not fall back to the copy at the end of the disk by
 * itself. Here a changed list of partitions goes to a second place in front of the first partition, and the one sector
 * of the primary header switches over to it. A sector is written completely or not at all, so there is no moment
 * without a valid table.
 */
import { randomUUID } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { Piece } from './disk-machine.ts';

const SIGNATURE = Buffer.from('EFI PART', 'latin1');
const HEADER_SIZE = 92;
const ENTRY_SIZE = 128;
const ENTRIES = 128;
const MIB = 1024 * 1024;
/** Linux filesystem data */
const TYPE_LINUX = '0fc63daf-8483-4772-8e79-3d69d8477de4';

/** One valid table. Addresses and sizes are logical blocks. */
export interface Gpt {
  /** bytes of a logical block: 512 or 4096 */
  readonly block: number;
  readonly diskGuid: Uint8Array;
  /** where the list of partitions lies */
  readonly entriesAt: number;
  readonly entrySize: number;
  readonly firstUsable: number;
  readonly lastUsable: number;
  /** the list of partitions, whole */
  readonly entries: Uint8Array;
}

/** Writes that belong together; the next step begins when these are on the disk. */
export type WriteSteps = readonly (readonly Piece[])[];

/** Reads `length` bytes at `at` of a disk. */
export type ReadAt = (at: number, length: number) => Promise<Uint8Array>;

/** The primary table, or undefined when it is not one that the kernel would take. */
export async function readGpt(read: ReadAt, block: number): Promise<Gpt | undefined> {
  const sector = Buffer.from(await read(block, block));
  if (sector.length < HEADER_SIZE || !sector.subarray(0, 8).equals(SIGNATURE)) return undefined;
  const size = sector.readUInt32LE(12);
  if (size < HEADER_SIZE || size > block) return undefined;
  const header = Buffer.from(sector.subarray(0, size));
  header.writeUInt32LE(0, 16);
  if (crc32(header) !== sector.readUInt32LE(16) || sector.readBigUInt64LE(24) !== 1n) return undefined;
  const [count, entrySize] = [sector.readUInt32LE(80), sector.readUInt32LE(84)];
  if (entrySize < ENTRY_SIZE || entrySize % 8 !== 0 || count * entrySize > MIB) return undefined;
  const entriesAt = Number(sector.readBigUInt64LE(72));
  const entries = await read(entriesAt * block, count * entrySize);
  if (crc32(entries) !== sector.readUInt32LE(88)) return undefined;
  return {
    block,
    diskGuid: new Uint8Array(sector.subarray(56, 72)),
    entriesAt,
    entrySize,
    firstUsable: Number(sector.readBigUInt64LE(40)),
    lastUsable: Number(sector.readBigUInt64LE(48)),
    entries,
  };
}

/** First and last block of partition `number` (from 1), or undefined when the table has no such entry or it is empty. */
export function entryRange(gpt: Gpt, number: number): { first: number; last: number } | undefined {
  if (!Number.isInteger(number) || number < 1 || number * gpt.entrySize > gpt.entries.length) return undefined;
  const entry = Buffer.from(gpt.entries.buffer, gpt.entries.byteOffset + (number - 1) * gpt.entrySize, gpt.entrySize);
  if (entry.subarray(0, 16).every((byte) => byte === 0)) return undefined;
  return { first: Number(entry.readBigUInt64LE(32)), last: Number(entry.readBigUInt64LE(40)) };
}

/** A table with one partition from 1 MiB to the end, for a disk of `size` bytes. The last step makes it valid. */
export function newGpt(size: number, block: number, name: string): WriteSteps {
  const entries = Buffer.alloc(ENTRIES * ENTRY_SIZE);
  guid(TYPE_LINUX).copy(entries, 0);
  guid(randomUUID()).copy(entries, 16);
  const lastUsable = endOfUse(size, block, entries.length);
  entries.writeBigUInt64LE(BigInt(MIB / block), 32);
  entries.writeBigUInt64LE(BigInt(alignedEnd(lastUsable, block)), 40);
  entries.write(name, 56, 72, 'utf16le');
  const entriesAt = 2;
  const gpt: Gpt = {
    block,
    diskGuid: guid(randomUUID()),
    entriesAt,
    entrySize: ENTRY_SIZE,
    firstUsable: entriesAt + entries.length / block,
    lastUsable,
    entries,
  };
  return [
    [...copyAtEnd(gpt, size), { at: entriesAt * block, bytes: entries }],
    [
      { at: 0, bytes: protectiveMbr(size, block) },
      { at: block, bytes: primaryHeader(gpt, size) },
    ],
  ];
}

/**
 * The same table with partition `number` reaching to the end of a disk of `size` bytes. Undefined when it ends there or
 * behind it already, when another partition lies behind it, or when there is no room for a second list in front of the first.
 */
export function grownGpt(gpt: Gpt, number: number, size: number): WriteSteps | undefined {
  const { block } = gpt;
  const listBlocks = Math.ceil(gpt.entries.length / block);
  const lastUsable = endOfUse(size, block, gpt.entries.length);
  const own = entryRange(gpt, number);
  let lowest = Number.POSITIVE_INFINITY;
  for (let i = 1; i * gpt.entrySize <= gpt.entries.length; i++) {
    const other = entryRange(gpt, i);
    if (other === undefined) continue;
    lowest = Math.min(lowest, other.first);
    if (own !== undefined && i !== number && other.last > own.last) return undefined;
  }
  const entriesAt = gpt.entriesAt === 2 ? 2 + listBlocks : 2;
  const firstUsable = 2 + 2 * listBlocks;
  const last = alignedEnd(lastUsable, block);
  // a table that changed since the kernel read it may say that the partition ends behind the disk already
  if (own === undefined || own.last >= last || lowest < firstUsable) return undefined;

  const entries = Buffer.from(gpt.entries);
  entries.writeBigUInt64LE(BigInt(last), (number - 1) * gpt.entrySize + 40);
  const grown: Gpt = { ...gpt, entries, entriesAt, firstUsable, lastUsable };
  return [
    [...copyAtEnd(grown, size), { at: entriesAt * block, bytes: entries }],
    [{ at: block, bytes: primaryHeader(grown, size) }],
    [{ at: 0, bytes: protectiveMbr(size, block) }],
  ];
}

/** The last block partitions may use: the copy of list and header lies behind it. */
const endOfUse = (size: number, block: number, listBytes: number): number =>
  Math.floor(size / block) - 1 - Math.ceil(listBytes / block) - 1;

/** Partitions end at a multiple of 1 MiB, as sgdisk and parted make them. */
const alignedEnd = (lastUsable: number, block: number): number =>
  Math.floor(((lastUsable + 1) * block) / MIB) * (MIB / block) - 1;

function copyAtEnd(gpt: Gpt, size: number): Piece[] {
  const last = Math.floor(size / gpt.block) - 1;
  const entriesAt = gpt.lastUsable + 1;
  return [
    { at: entriesAt * gpt.block, bytes: gpt.entries },
    { at: last * gpt.block, bytes: header(gpt, last, 1, entriesAt) },
  ];
}

const primaryHeader = (gpt: Gpt, size: number): Uint8Array =>
  header(gpt, 1, Math.floor(size / gpt.block) - 1, gpt.entriesAt);

function header(gpt: Gpt, own: number, other: number, entriesAt: number): Uint8Array {
  const bytes = Buffer.alloc(gpt.block);
  SIGNATURE.copy(bytes);
  bytes.writeUInt32LE(0x00010000, 8);
  bytes.writeUInt32LE(HEADER_SIZE, 12);
  bytes.writeBigUInt64LE(BigInt(own), 24);
  bytes.writeBigUInt64LE(BigInt(other), 32);
  bytes.writeBigUInt64LE(BigInt(gpt.firstUsable), 40);
  bytes.writeBigUInt64LE(BigInt(gpt.lastUsable), 48);
  bytes.set(gpt.diskGuid, 56);
  bytes.writeBigUInt64LE(BigInt(entriesAt), 72);
  bytes.writeUInt32LE(gpt.entries.length / gpt.entrySize, 80);
  bytes.writeUInt32LE(gpt.entrySize, 84);
  bytes.writeUInt32LE(crc32(gpt.entries), 88);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_SIZE)), 16);
  return bytes;
}

/** Tells programs that know no GPT that the disk is taken. */
function protectiveMbr(size: number, block: number): Uint8Array {
  const bytes = Buffer.alloc(block);
  // not bootable, begins at block 1 (0/0/2), type ee, ends beyond what the old addresses can say
  Buffer.from('00000200eeffffff01000000', 'hex').copy(bytes, 446);
  bytes.writeUInt32LE(Math.min(Math.floor(size / block) - 1, 0xffffffff), 458);
  bytes.writeUInt16BE(0x55aa, 510);
  return bytes;
}

/** A GUID as it lies on the disk: the first three fields little-endian. */
function guid(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll('-', ''), 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}

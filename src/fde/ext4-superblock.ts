/**
 * The superblock of ext4 on a disk that lost power while it was being written (kernel documentation, ext4 super block).
 *
 * It has 1024 bytes, two sectors on many disks, and a cut may keep an old one beside a new one. All that changes in an
 * ordinary life is in the first sector, except the checksum at the very end. So such a superblock is a whole old or a
 * whole new one that only bears the checksum of another, and both are what a cut between two writes could have left:
 * with a new checksum, e2fsck replays the journal as it would have done then. (`e2fsck -b` is not that: a copy
 * is as old as the last growth, and does not say that the journal holds anything.)
 *
 * A checksum also guards against damage. What stands in for it: a copy of the superblock in another block group that has
 * its own right checksum must agree in everything that does not change.
 */
import { DstackError } from '../errors.ts';
import type { DiskMachine } from './disk-machine.ts';

const AT = 1024;
const SIZE = 1024;
/** Only this sector is written: it arrives or it does not, and what is there before and after can be repaired again. */
const SECTOR = 512;
const MAGIC = 0xef53;
const CRC32C = 1;
const METADATA_CSUM = 0x400;
/** groups with a copy (sparse_super: 0, 1 and the powers of 3, 5 and 7); a cut while growing may have hit one of them */
const GROUPS_WITH_COPY = [1, 3, 5, 7, 9];

/** s_* fields by their byte offset, all little-endian. */
const FIELD = {
  inodes: 0x00,
  blocks: 0x04,
  firstBlock: 0x14,
  logBlockSize: 0x18,
  blocksPerGroup: 0x20,
  inodesPerGroup: 0x28,
  magic: 0x38,
  group: 0x5a,
  incompat: 0x60,
  roCompat: 0x64,
  reservedTable: 0xce,
  descriptorSize: 0xfe,
  blocksHigh: 0x150,
  checksumType: 0x175,
  checksum: 0x3fc,
} as const;

/** Bits that come and go: recover (the journal holds something), orphan_present. */
const CHANGING_BITS: readonly [at: number, bits: number][] = [
  [FIELD.incompat, 0x4],
  [FIELD.roCompat, 0x1_0000],
];

/** What an ordinary life changes in the superblock and not in its copies: `[offset, bytes]`. */
const CHANGING: readonly [at: number, length: number][] = [
  [0x0c, 8], // free blocks, free inodes
  [0x2c, 10], // times of mount and write, mounts since the last check
  [0x3a, 2], // state
  [0x40, 4], // time of the last check
  [FIELD.group, 2],
  [0x88, 64], // last mounted on
  [0xe8, 4], // list of orphans
  [0x158, 4], // free blocks, high half
  [0x178, 8], // KiB written
  [0x194, 108], // the first and the last error that the kernel saw
  [0x248, 4], // overhead: a figure for statfs
  [0x274, 8], // high bytes of times, codes of errors
  [FIELD.checksum, 4],
];

/** What growing changes as well. */
const SIZES: readonly [at: number, length: number][] = [
  [FIELD.inodes, 12], // inodes, blocks, reserved blocks
  [FIELD.reservedTable, 2],
  [FIELD.blocksHigh, 8], // blocks, reserved blocks
];

/**
 * The superblock of a device with a new checksum, if a power cut tore it: right magic, wrong checksum, and
 * a whole copy that agrees. undefined for everything else, a superblock without fault and a device that cannot be read
 * included.
 */
export async function tornSuperblock(device: string, machine: DiskMachine): Promise<Uint8Array | undefined> {
  const read = async (at: number): Promise<Buffer> => Buffer.from(await machine.read(device, at, SIZE));
  try {
    const primary = await read(AT);
    if (!isSuperblock(primary) || isWhole(primary) || primary.readUInt16LE(FIELD.group) !== 0) return undefined;
    const logBlockSize = primary.readUInt32LE(FIELD.logBlockSize);
    if (logBlockSize > 6) return undefined; // 64 KiB is the largest block
    const blockSize = 1024 * 2 ** logBlockSize;
    const first = primary.readUInt32LE(FIELD.firstBlock);
    for (const group of GROUPS_WITH_COPY) {
      const copy = await read((first + group * primary.readUInt32LE(FIELD.blocksPerGroup)) * blockSize);
      if (isSuperblock(copy) && isWhole(copy) && copy.readUInt16LE(FIELD.group) === group && agree(primary, copy)) {
        primary.writeUInt32LE(crc32c(primary.subarray(0, FIELD.checksum)), FIELD.checksum);
        return primary;
      }
    }
  } catch (thrown) {
    if (!(thrown instanceof DstackError && thrown.code === 'FILE_IO')) throw thrown;
  }
  return undefined;
}

/** Mends a torn superblock. @returns true when it did @throws FILE_IO when it cannot be written */
export async function mendSuperblock(device: string, machine: DiskMachine): Promise<boolean> {
  const mended = await tornSuperblock(device, machine);
  if (mended === undefined) return false;
  const piece = { at: AT + SECTOR, bytes: mended.subarray(SECTOR) };
  await machine.write(device, [piece], `repair the superblock of ${device}, which a power cut tore`);
  return true;
}

/** Only what metadata_csum checks: without it nothing tells a torn superblock from a good one. */
function isSuperblock(bytes: Buffer): boolean {
  return (
    bytes.length === SIZE &&
    bytes.readUInt16LE(FIELD.magic) === MAGIC &&
    (bytes.readUInt32LE(FIELD.roCompat) & METADATA_CSUM) !== 0 &&
    bytes[FIELD.checksumType] === CRC32C
  );
}

const isWhole = (bytes: Buffer): boolean =>
  bytes.readUInt32LE(FIELD.checksum) === crc32c(bytes.subarray(0, FIELD.checksum));

/** Whether both are of one file system; its size may be the one before or after a growth that the cut interrupted. */
function agree(primary: Buffer, copy: Buffer): boolean {
  if (constant(primary, CHANGING).equals(constant(copy, CHANGING))) return true;
  const grown = [...CHANGING, ...SIZES];
  if (!constant(primary, grown).equals(constant(copy, grown))) return false;
  // the sizes follow from the number of blocks, so one that is damaged does not pass
  const inodes = groups(primary) * primary.readUInt32LE(FIELD.inodesPerGroup);
  return primary.readUInt32LE(FIELD.inodes) === inodes && tableRoom(primary) === tableRoom(copy);
}

function constant(bytes: Buffer, changing: readonly [number, number][]): Buffer {
  const rest = Buffer.from(bytes);
  for (const [at, length] of changing) rest.fill(0, at, at + length);
  for (const [at, bits] of CHANGING_BITS) rest.writeUInt32LE((rest.readUInt32LE(at) & ~bits) >>> 0, at);
  return rest;
}

function groups(bytes: Buffer): number {
  const blocks = bytes.readUInt32LE(FIELD.blocksHigh) * 2 ** 32 + bytes.readUInt32LE(FIELD.blocks);
  return Math.ceil((blocks - bytes.readUInt32LE(FIELD.firstBlock)) / bytes.readUInt32LE(FIELD.blocksPerGroup));
}

/** Blocks for group descriptors, used and reserved: a growth takes from the reserved ones. */
function tableRoom(bytes: Buffer): number {
  const blockSize = 1024 * 2 ** bytes.readUInt32LE(FIELD.logBlockSize);
  const used = Math.ceil((groups(bytes) * bytes.readUInt16LE(FIELD.descriptorSize)) / blockSize);
  return used + bytes.readUInt16LE(FIELD.reservedTable);
}

/** CRC-32C (Castagnoli, reflected), as ext4 stores it: begun with all ones, not inverted at the end. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f6_3b78 : 0);
  }
  return crc >>> 0;
}

/**
 * Partition tables of a disk of 8 MiB. The first byte: bit 0 = 4096-byte blocks, bit 1 = checksums repaired. Whatever table
 * is taken, enlarging it must give one that is taken again, with the same first blocks, inside the disk, nothing overlapping
 * what it did not overlap before.
 */
import { crc32 } from 'node:zlib';
import { DstackError } from '../../../src/errors.ts';
import { entryRange, grownGpt, readGpt } from '../../../src/fde/gpt.ts';
import { type FuzzTarget, same } from '../target.ts';

/** One disk for all inputs: each leaves it as it was, empty. */
const DISK = Buffer.alloc(8 * 1024 * 1024);
const GROWN = Buffer.alloc(16 * 1024 * 1024);
/** Nothing of an input lies behind this. */
const HEAD = 64 * 1024;

/** Right checksums for whatever is in the table, where they have a place. */
function sealed(disk: Buffer, block: number): void {
  const header = disk.subarray(block, 2 * block);
  const size = header.readUInt32LE(12);
  const [at, count, entry] = [header.readBigUInt64LE(72), header.readUInt32LE(80), header.readUInt32LE(84)];
  if (at < BigInt(disk.length / block) && count * entry <= disk.length)
    header.writeUInt32LE(crc32(disk.subarray(Number(at) * block, Number(at) * block + count * entry)), 88);
  if (size > block) return;
  header.writeUInt32LE(0, 16);
  header.writeUInt32LE(crc32(header.subarray(0, size)), 16);
}

const target: FuzzTarget = {
  limit: 1 + 40 * 512,
  dictionary: [
    'EFI PART',
    Uint8Array.of(92, 0, 0, 0),
    Uint8Array.of(128, 0, 0, 0, 128, 0, 0, 0),
    Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80),
    Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255),
    Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 0x7f),
  ],
  async run(input) {
    const block = (input[0] ?? 0) & 1 ? 4096 : 512;
    const bytes = input.subarray(1);
    DISK.set(bytes, block);
    if ((input[0] ?? 0) & 2) sealed(DISK, block);
    try {
      await judge(block);
    } finally {
      DISK.fill(0, block, block + Math.max(bytes.length, 2 * block));
    }
  },
};
export default target;

const reader = (disk: Buffer) => async (at: number, length: number) => {
  if (!(at >= 0 && at + length <= disk.length)) throw new DstackError('FILE_IO', 'outside the disk');
  return new Uint8Array(disk.subarray(at, at + length));
};

async function judge(block: number): Promise<void> {
  const table = await readGpt(reader(DISK), block);
  if (table === undefined) return;
  for (let number = 1; number <= 4; number++) {
    const before = entryRange(table, number);
    const steps = grownGpt(table, number, GROWN.length);
    if (steps === undefined) continue;
    if (before === undefined) throw new Error(`partition ${number} is not there and was enlarged`);
    const head = DISK.subarray(0, HEAD);
    GROWN.set(head);
    try {
      for (const { at, bytes } of steps.flat()) {
        if (!(at >= 0 && at + bytes.length <= GROWN.length)) throw new Error(`${bytes.length} bytes at ${at}: outside`);
        if (at + bytes.length > before.first * block && at < Math.min((before.last + 1) * block, DISK.length))
          throw new Error(`${bytes.length} bytes at ${at}: inside the partition`);
        GROWN.set(bytes, at);
      }
      const again = await readGpt(reader(GROWN), block);
      if (again === undefined) throw new Error('the enlarged table is not taken');
      const range = entryRange(again, number);
      same('first block', range?.first, before.first);
      if (range === undefined || (range.last + 1) * block > GROWN.length) throw new Error('it ends outside the disk');
      if (range.last <= before.last) throw new Error('it has not become larger');
      for (let other = 1; other <= 8; other++)
        if (other !== number) same(`partition ${other}`, entryRange(again, other), entryRange(table, other));
    } finally {
      GROWN.fill(0, 0, HEAD);
      for (const { at, bytes } of steps.flat()) if (at >= 0) GROWN.fill(0, at, at + bytes.length);
    }
  }
}

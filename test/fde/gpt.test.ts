import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entryRange, grownGpt, newGpt, readGpt, type WriteSteps } from '../../src/fde/gpt.ts';

const MIB = 1024 * 1024;

/** A disk in memory. */
class MemoryDisk {
  bytes: Buffer;
  constructor(mib: number) {
    this.bytes = Buffer.alloc(mib * MIB);
  }
  read = async (at: number, length: number): Promise<Uint8Array> =>
    new Uint8Array(this.bytes.subarray(at, at + length));
  enlarge(mib: number): void {
    this.bytes = Buffer.concat([this.bytes, Buffer.alloc(mib * MIB)]);
  }
  /** Writes all steps before `step`, and of that one the sectors that `keep` says. */
  write(steps: WriteSteps, step = steps.length, keep: (sector: number) => boolean = () => false): void {
    for (const piece of steps.slice(0, step).flat()) this.bytes.set(piece.bytes, piece.at);
    let sector = 0;
    for (const { at, bytes } of steps[step] ?? []) {
      for (let i = 0; i < bytes.length; i += 512) {
        if (keep(sector++)) this.bytes.set(bytes.subarray(i, i + 512), at + i);
      }
    }
  }
}

describe.each([512, 4096])('a partition table with blocks of %i bytes', (block) => {
  it('is read as it was made', async () => {
    const disk = new MemoryDisk(8);
    disk.write(newGpt(8 * MIB, block, 'dstack-data'));
    const gpt = await readGpt(disk.read, block);
    expect(gpt && entryRange(gpt, 1)).toEqual({ first: MIB / block, last: (7 * MIB) / block - 1 });
    // 128 entries: partitions of longer tables have larger numbers, and a number is never one of them
    for (const number of [2, 128, 129, 2 ** 31, 0, -1, 0.5, Number.NaN])
      expect(gpt && entryRange(gpt, number), `partition ${number}`).toBeUndefined();
    expect(disk.bytes.toString('utf16le', 2 * block + 56, 2 * block + 78)).toBe('dstack-data');
  });

  it('is read only while header and list are whole', async () => {
    const disk = new MemoryDisk(8);
    disk.write(newGpt(8 * MIB, block, 'dstack-data'));
    for (const at of [block, block + 16, block + 40, block + 91, 2 * block, 2 * block + 128 * 128 - 1]) {
      disk.bytes[at]! ^= 1;
      expect(await readGpt(disk.read, block), `byte ${at}`).toBeUndefined();
      disk.bytes[at]! ^= 1;
    }
    expect(await readGpt(disk.read, block)).toBeDefined();
  });

  it('property: growing it is never torn, wherever it is interrupted, time after time', async () => {
    const cut = fc.record({ step: fc.nat(3), sectors: fc.infiniteStream(fc.boolean()) });
    await fc.assert(
      fc.asyncProperty(fc.array(cut, { minLength: 1, maxLength: 5 }), async (cuts) => {
        const disk = new MemoryDisk(4);
        disk.write(newGpt(4 * MIB, block, 'dstack-data'));
        for (const { step, sectors } of cuts) {
          const before = await readGpt(disk.read, block);
          const old = before && entryRange(before, 1)?.last;
          disk.enlarge(2);
          const steps = before && grownGpt(before, 1, disk.bytes.length);
          if (steps === undefined) throw new Error('the table does not grow');
          disk.write(steps, step, () => sectors.next().value);
          const after = await readGpt(disk.read, block);
          const wanted = (disk.bytes.length - MIB) / block - 1;
          expect([old, wanted]).toContain(after && entryRange(after, 1)?.last);
          if (step === 3) expect(after && entryRange(after, 1)?.last).toBe(wanted);
          expect(disk.bytes.readUInt16BE(510)).toBe(0x55aa);
        }
      }),
      { numRuns: 60 },
    );
  });
});

it('property: any bytes are a table or none, never an error', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 2048 }), fc.boolean(), async (noise, signed) => {
      const bytes = Buffer.concat([Buffer.alloc(512), noise]);
      if (signed && bytes.length >= 520) bytes.write('EFI PART', 512, 'latin1');
      const read = async (at: number, length: number) => new Uint8Array(bytes.subarray(at, at + length));
      expect(await readGpt(read, 512)).toBeUndefined();
    }),
    { numRuns: 200 },
  );
});

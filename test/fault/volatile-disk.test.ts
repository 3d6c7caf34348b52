import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Change, KEEP, VolatileDisk } from './volatile-disk.ts';

const SIZE = 64 * 512;
const FLUSH: Change = { flush: true, at: 0, bytes: new Uint8Array(), fua: false };
const write = (sector: number, value: number, { sectors = 1, fua = false } = {}): Change => ({
  flush: false,
  at: sector * 512,
  bytes: new Uint8Array(sectors * 512).fill(value),
  fua,
});
const disk = (...changes: Change[]): VolatileDisk => {
  const made = new VolatileDisk(SIZE);
  for (const change of changes) made.apply(change);
  return made;
};
const sector = (from: VolatileDisk, number: number): number => from.read(number * 512, 1)[0] as number;

describe('volatile disk', () => {
  it('reads what was written, flushed or not', () => {
    expect(sector(disk(write(3, 7)), 3)).toBe(7);
    expect(sector(disk(write(3, 7), FLUSH, write(3, 8)), 3)).toBe(8);
  });

  it('keeps what was flushed or written through, and forgets the rest', () => {
    const some = disk(write(1, 1), FLUSH, write(2, 2), write(3, 3, { fua: true }));
    expect(some.unflushed).toBe(1024);
    expect(some.cut(1, 'nothing')).toBe(512);
    expect([1, 2, 3].map((number) => sector(some, number))).toEqual([1, 0, 3]);
  });

  it('keeps a written-through sector, whatever older write is in the cache', () => {
    for (const keep of KEEP) {
      const some = disk(write(1, 1), write(1, 2, { fua: true }));
      some.cut(5, keep);
      expect(sector(some, 1)).toBe(2);
    }
  });

  it('tears a long write at a sector', () => {
    const some = disk(write(0, 9, { sectors: 64 }));
    const lost = some.cut(4, 'some');
    expect(lost).toBeGreaterThan(0);
    expect(lost).toBeLessThan(SIZE);
    expect(lost % 512).toBe(0);
  });

  it('never tears a physical sector', () => {
    const large = new VolatileDisk(SIZE, 4096);
    large.apply({ flush: false, at: 1024, bytes: new Uint8Array(SIZE - 1024).fill(9), fua: false });
    expect(large.cut(4, 'some')).toBeGreaterThan(0);
    const sectors = Array.from(
      { length: SIZE / 4096 },
      (_, n) => new Set(large.read(n * 4096, 4096).subarray(n ? 0 : 1024)),
    );
    expect(sectors.map(({ size }) => size)).toEqual(sectors.map(() => 1));
    expect(new Set(sectors.flatMap((bytes) => [...bytes]))).toEqual(new Set([0, 9]));
  });

  it('does the same for the same seed', () => {
    const cut = (seed: number) => {
      const some = disk(write(0, 9, { sectors: 64 }));
      some.cut(seed, 'some');
      return some.read(0, SIZE).toString('hex');
    };
    expect(cut(11)).toBe(cut(11));
    expect(cut(11)).not.toBe(cut(12));
  });

  it('never loses a flushed byte, and never invents one', () => {
    const change = fc.oneof(
      fc.constant(FLUSH),
      fc
        .record({ at: fc.nat(60), value: fc.integer({ min: 1, max: 255 }), fua: fc.boolean() })
        .map(({ at, value, fua }) => write(at, value, { sectors: 3, fua })),
    );
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), fc.nat(), fc.constantFrom(...KEEP), (changes, seed, keep) => {
        const some = disk(...changes);
        const flushed = disk(...changes.slice(0, changes.findLastIndex(({ flush }) => flush) + 1));
        const after = changes.slice(changes.findLastIndex(({ flush }) => flush) + 1);
        some.cut(seed, keep);
        for (let number = 0; number < 64; number++) {
          const written = after.filter(({ at, bytes }) => number * 512 >= at && number * 512 < at + bytes.length);
          const through = written.findLastIndex(({ fua }) => fua);
          const possible = written.slice(Math.max(through, 0)).map(({ bytes }) => bytes[0]);
          if (through < 0) possible.push(sector(flushed, number));
          expect(possible).toContain(sector(some, number));
        }
      }),
    );
  });
});

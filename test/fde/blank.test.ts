import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { firstData, probeRanges } from '../../src/fde/blank.ts';
import { poke } from './fake-disk-machine.ts';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

describe('probeRanges', () => {
  it('covers a small disk completely', () => {
    expect(probeRanges(40 * MIB)).toEqual([[0, 40 * MIB]]);
    expect(probeRanges(52 * MIB)).toEqual([[0, 52 * MIB]]);
  });

  it('property: ranges ascend, do not overlap, stay inside, include both ends and cost at most 52 MiB', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 32 * 1024 * GIB }), (size) => {
        const ranges = probeRanges(size);
        let at = 0;
        let cost = 0;
        for (const [start, end] of ranges) {
          expect(start).toBeGreaterThanOrEqual(at);
          expect(end).toBeGreaterThan(start);
          cost += end - start;
          at = end;
        }
        expect(ranges[0]?.[0]).toBe(0);
        expect(at).toBe(size);
        expect(cost).toBeLessThanOrEqual(52 * MIB);
      }),
    );
  });
});

describe('firstData', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await fs.mkdtemp(join(tmpdir(), 'blank-'));
  });
  afterAll(() => fs.rm(dir, { recursive: true }));

  async function image(size: number): Promise<string> {
    const path = join(dir, `${Math.random()}`);
    await fs.writeFile(path, '');
    await fs.truncate(path, size);
    return path;
  }

  it('finds nothing in a fresh sparse image of 8 GiB', async () => {
    expect(await firstData(await image(8 * GIB), 8 * GIB)).toBeUndefined();
  });

  it.each([
    ['the very first byte', 0],
    ['raw bytes at 4096', 4096],
    ['a btrfs superblock', 65_600],
    ['the place where our own payload begins', 17 * MIB],
    ['the last byte of the head', 32 * MIB - 1],
    ['the ZFS label at the end', 2 * GIB - 256 * 1024],
    ['the very last byte', 2 * GIB - 1],
  ])('finds %s', async (_, at) => {
    const path = await image(2 * GIB);
    await poke(path, at, Uint8Array.of(1));
    expect(await firstData(path, 2 * GIB)).toBe(at);
  });

  it('finds a run of data of 1/256 of the disk anywhere between', async () => {
    const path = await image(GIB);
    await poke(path, 600 * MIB, Buffer.alloc(4 * MIB, 7));
    expect(await firstData(path, GIB)).toBeGreaterThanOrEqual(600 * MIB);
  });

  it('takes an unreadable, an empty and a truncated device for an error, not for blank', async () => {
    await expect(firstData(join(dir, 'missing'), MIB)).rejects.toMatchObject({ code: 'FILE_IO' });
    await expect(firstData(await image(MIB), 2 * MIB)).rejects.toMatchObject({ code: 'FILE_IO' });
    await expect(firstData(await image(0), 0)).rejects.toMatchObject({ code: 'FILE_IO' });
  });
});

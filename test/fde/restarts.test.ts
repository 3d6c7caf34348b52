import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeMark, MARK_SIZE } from '../../src/fde/marks.ts';
import {
  encodeRestarts,
  forgetRestarts,
  parseRestarts,
  RESTARTS_SIZE,
  readRestarts,
  writeRestarts,
} from '../../src/fde/restarts.ts';
import { FakeDiskMachine } from './fake-disk-machine.ts';

describe('the record', () => {
  it('property: is one sector and is read as it was written', () => {
    fc.assert(fc.property(fc.nat(999), (count) => parseRestarts(encodeRestarts(count)) === count));
    expect(encodeRestarts(3)).toHaveLength(RESTARTS_SIZE);
  });

  it('property: with any other bit it counts nothing', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 999 }), fc.nat(RESTARTS_SIZE * 8 - 1), (count, bit) => {
        const bytes = encodeRestarts(count);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(parseRestarts(bytes)).toBe(0);
      }),
    );
  });

  it('property: nothing else counts', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => parseRestarts(bytes) === 0));
  });
});

describe('on a disk', () => {
  let machine: FakeDiskMachine;
  let disk: string;
  beforeEach(async () => {
    machine = await FakeDiskMachine.create();
    disk = await machine.addDisk('vdb', 64);
  });
  afterEach(() => machine.destroy());

  it('lies in front of the partition, beside the mark, and nothing else changes', async () => {
    const device = await machine.addPartition('vdb', 1, 'dstack-data', 32);
    const mark = encodeMark({ initialising: false, ephemeral: false, uuid: '37230443-192d-49f8-98c1-9964a91f8a1f' });
    await machine.write(disk, [{ at: 1024 * 1024 - 4096, bytes: mark }]);
    const before = await machine.copyDisk('vdb');
    expect(await readRestarts(device, machine)).toBe(0);
    await writeRestarts(device, 2, machine);
    expect(await readRestarts(device, machine)).toBe(2);
    const after = Buffer.from(await machine.copyDisk('vdb'));
    const at = 1024 * 1024 - 8192;
    expect(parseRestarts(after.subarray(at, at + RESTARTS_SIZE))).toBe(2);
    after.fill(0, at, at + RESTARTS_SIZE);
    expect(after.equals(before)).toBe(true);
    expect(after.subarray(at + 4096, at + 4096 + MARK_SIZE).equals(mark)).toBe(true);

    await forgetRestarts(device, machine);
    expect(await readRestarts(device, machine)).toBe(0);
    expect(Buffer.from(await machine.copyDisk('vdb')).equals(before)).toBe(true);
  });

  it('is not written to a disk without a partition: nothing there is known to be ours', async () => {
    const before = await machine.copyDisk('vdb');
    expect(await readRestarts(disk, machine)).toBeUndefined();
    await writeRestarts(disk, 1, machine);
    expect(Buffer.from(await machine.copyDisk('vdb')).equals(before)).toBe(true);
  });
});

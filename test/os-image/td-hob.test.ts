/** The list in which QEMU tells the firmware where memory is, byte for byte. */
import { describe, expect, it } from 'vitest';
import { buildTdHob } from '../../src/os-image/td-hob.ts';

const GIB = 1024 ** 3;
const [ACCEPTED, UNACCEPTED] = [0, 7];
/** What OVMF keeps for itself: three ranges, the hand-off block at 0x809000. */
const LAYOUT = {
  tdHob: 0x809,
  ranges: [
    { start: 0x800, count: 6 },
    { start: 0x809, count: 2 },
    { start: 0x810, count: 16 },
  ],
};
const OWNED = [
  [UNACCEPTED, 0, 0x80_0000],
  [ACCEPTED, 0x80_0000, 0x6000],
  [UNACCEPTED, 0x80_6000, 0x3000],
  [ACCEPTED, 0x80_9000, 0x2000],
  [UNACCEPTED, 0x80_b000, 0x5000],
  [ACCEPTED, 0x81_0000, 0x1_0000],
];
const FREE = 0x82_0000;

/** The resources of a list as type, start and length; everything else in it is checked. */
function resources(list: Uint8Array): number[][] {
  const view = new DataView(list.buffer, list.byteOffset, list.byteLength);
  const zeros = (at: number, size: number) => expect(list.subarray(at, at + size)).toEqual(new Uint8Array(size));
  // the table at the front: type 1, 56 bytes, version 9, the address behind the list
  expect([view.getUint16(0, true), view.getUint16(2, true), view.getUint32(8, true)]).toEqual([1, 56, 9]);
  zeros(4, 4);
  zeros(12, 36);
  expect(Number(view.getBigUint64(48, true))).toBe(0x80_9000 + list.length + 8);
  expect((list.length - 56) % 48).toBe(0);
  return Array.from({ length: (list.length - 56) / 48 }, (_, index) => {
    const at = 56 + 48 * index;
    expect([view.getUint16(at, true), view.getUint16(at + 2, true), view.getUint32(at + 28, true)]).toEqual([3, 48, 7]);
    zeros(at + 4, 20);
    return [
      view.getUint32(at + 24, true),
      Number(view.getBigUint64(at + 32, true)),
      Number(view.getBigUint64(at + 40, true)),
    ];
  });
}

describe('the TD HOB', () => {
  it.each([
    [GIB, [[UNACCEPTED, FREE, GIB - FREE]]],
    [2 * GIB, [[UNACCEPTED, FREE, 2 * GIB - FREE]]],
    [0xb000_0000 - 4096, [[UNACCEPTED, FREE, 0xb000_0000 - 4096 - FREE]]],
    // from here on 2 GiB stay below the hole, and the rest moves above 4 GiB
    [
      0xb000_0000,
      [
        [UNACCEPTED, FREE, 2 * GIB - FREE],
        [UNACCEPTED, 4 * GIB, 0x3000_0000],
      ],
    ],
    [
      64 * GIB,
      [
        [UNACCEPTED, FREE, 2 * GIB - FREE],
        [UNACCEPTED, 4 * GIB, 62 * GIB],
      ],
    ],
  ])('of %i bytes of memory', (memory, last) => {
    expect(resources(buildTdHob(LAYOUT, memory))).toEqual([...OWNED, ...last]);
  });

  it('has no empty range between neighbours, nor in front of a range at 0', () => {
    const layout = {
      tdHob: 0x809,
      ranges: [
        { start: 0, count: 0x809 },
        { start: 0x809, count: 2 },
      ],
    };
    expect(resources(buildTdHob(layout, GIB))).toEqual([
      [ACCEPTED, 0, 0x80_9000],
      [ACCEPTED, 0x80_9000, 0x2000],
      [UNACCEPTED, 0x80_b000, GIB - 0x80_b000],
    ]);
  });
});

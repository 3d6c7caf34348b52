import { decode, encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { decodeMsgpack } from '../../src/codec/msgpack.ts';
import { ByteNumbers, EncodedMsgpack, encodeMsgpack } from '../../src/codec/msgpack-write.ts';
import { DstackError } from '../../src/errors.ts';

const value = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.integer({ min: -40_000, max: 70_000 }),
    fc.string({ unit: 'binary' }),
    fc.uint8Array(),
  ),
  node: fc.oneof(
    { depthSize: 'small' },
    tie('leaf'),
    fc.array(tie('node'), { maxLength: 20 }),
    fc.dictionary(fc.string({ unit: 'binary' }), tie('node'), { maxKeys: 20, noNullPrototype: true }),
  ),
})).node;

/** own keys only: the reader's maps have no prototype, so that a key `__proto__` is a key like any other */
const plain = (input: unknown): unknown => {
  if (Array.isArray(input)) return input.map(plain);
  if (input instanceof Uint8Array) return toHex(input);
  if (typeof input === 'object' && input !== null)
    return Object.entries(input).map(([key, item]) => [key, plain(item)]);
  return Object.is(input, -0) ? 0 : input;
};

describe('msgpack', () => {
  it('reads what an independent implementation writes', () => {
    fc.assert(
      fc.property(value, (input) => {
        expect(plain(decodeMsgpack(encode(input)))).toEqual(plain(input));
      }),
    );
  });

  it('reads the wide forms as well', () => {
    const wide = ['cc01', 'cd0001', 'ce00000001', 'cf0000000000000001', 'd001', 'd10001', 'd200000001'];
    for (const hex of [...wide, 'd30000000000000001']) expect(decodeMsgpack(fromHex(hex)), hex).toBe(1);
    for (const hex of ['ff', 'd0ff', 'd1ffff', 'd2ffffffff', 'd3ffffffffffffffff']) {
      expect(decodeMsgpack(fromHex(hex)), hex).toBe(-1);
    }
    for (const hex of ['a161', 'd90161', 'da000161', 'db0000000161'])
      expect(decodeMsgpack(fromHex(hex)), hex).toBe('a');
    for (const hex of ['c40105', 'c5000105', 'c60000000105']) {
      expect(decodeMsgpack(fromHex(hex)), hex).toEqual(Uint8Array.of(5));
    }
    for (const hex of ['9107', 'dc000107', 'dd0000000107']) expect(decodeMsgpack(fromHex(hex)), hex).toEqual([7]);
    for (const hex of ['81a16107', 'de0001a16107', 'df00000001a16107']) {
      expect(plain(decodeMsgpack(fromHex(hex))), hex).toEqual([['a', 7]]);
    }
  });

  it('writes what an independent implementation writes', () => {
    fc.assert(
      fc.property(value, (input) => {
        expect(toHex(encodeMsgpack(input))).toBe(toHex(encode(input)));
      }),
    );
  });

  it.each([0, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0xffff_ffff, 0x1_0000_0000, 2 ** 53 - 1])(
    'writes %s and its negative as an independent implementation does',
    (number) => {
      for (const each of [number, -number, -number - 1].filter(Number.isSafeInteger))
        expect(toHex(encodeMsgpack(each))).toBe(toHex(encode(each)));
    },
  );

  it.each([0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])(
    'writes %s elements, bytes and letters as it does',
    (count) => {
      for (const each of ['a'.repeat(count), new Uint8Array(count).fill(0x81), new Array(count).fill(0x81)])
        expect(Buffer.compare(encodeMsgpack(each), encode(each))).toBe(0);
      const numbers = new Uint8Array(count).map((_, index) => index);
      expect(Buffer.compare(encodeMsgpack(new ByteNumbers(numbers)), encode(Array.from(numbers)))).toBe(0);
    },
  );

  it('copies what is encoded already', () => {
    fc.assert(
      fc.property(value, (input) => {
        const spliced = encodeMsgpack({
          before: 1,
          middle: new EncodedMsgpack(input),
          after: [new EncodedMsgpack(input)],
        });
        expect(toHex(spliced)).toBe(toHex(encode({ before: 1, middle: input, after: [input] })));
      }),
    );
  });

  it.each([[0.5], [Number.NaN], [2 ** 53], [10n], [Symbol('a')]])('does not write %s', (input) => {
    expect(() => encodeMsgpack({ input })).toThrowError(DstackError);
  });

  it('writes members in order, small numbers small, and leaves undefined out', () => {
    expect(toHex(encodeMsgpack({ b: 127, a: 128, c: undefined, d: [255, 256] }))).toBe(
      '83a1627fa161cc80a16492ccffcd0100',
    );
    expect(decode(encodeMsgpack({ x: Uint8Array.of(1) }))).toEqual({ x: Uint8Array.of(1) });
  });

  it.each([
    ['nothing', ''],
    ['a byte too many', '0101'],
    ['a cut text', 'a361'],
    ['text that is not UTF-8', 'a1ff'],
    ['a float', 'cb3ff0000000000000'],
    ['an extension', 'd40100'],
    ['the unused tag', 'c1'],
    ['a number that is no safe integer', 'cfffffffffffffffff'],
    ['a map key that is not text', '810101'],
    ['a map key twice', '82a16101a16102'],
    ['a list of 4 billion', 'ddffffffff'],
    ['a map of 4 billion', 'dfffffffff'],
    ['binary of 4 GiB', 'c6ffffffff'],
    ['nesting of 17', `${'91'.repeat(17)}01`],
    ['nesting of a million', '91'.repeat(1_000_000)],
  ])('%s is refused', (_, hex) => {
    expect(() => decodeMsgpack(fromHex(hex))).toThrowError(expect.objectContaining({ code: 'CODEC_INVALID' }));
  });

  it('says what a false promise was, before it reads on', () => {
    expect(() => decodeMsgpack(fromHex('ddffffffff00'))).toThrowError(/array of 4294967295 elements, 1 bytes are left/);
    expect(() => decodeMsgpack(fromHex('dfffffffff00'))).toThrowError(/map of 4294967295 members, 1 bytes are left/);
  });

  it('does not allocate what is only promised', () => {
    // each header promises as many elements as there are bytes left, on every level
    const bytes = new Uint8Array(4_000_000);
    const view = new DataView(bytes.buffer);
    for (let level = 0; level < 16; level++) {
      bytes[level * 5] = 0xdd;
      view.setUint32(level * 5 + 1, bytes.length - (level + 1) * 5);
    }
    const before = process.memoryUsage().heapUsed;
    try {
      decodeMsgpack(bytes);
    } catch {}
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(256 * 1024 * 1024);
  });

  it.each([
    ['empty maps', 0x80],
    ['empty arrays', 0x90],
    ['nothing', 0xc0],
    ['empty texts', 0xa0],
    ['empty binaries', 0xc4],
  ])('ten megabytes of %s cost little', (_, byte) => {
    const bytes = new Uint8Array(10_485_760).fill(byte);
    new DataView(bytes.buffer).setUint32(1, bytes.length - 5);
    bytes[0] = 0xdd;
    if (byte === 0xc4) for (let at = 6; at < bytes.length; at += 2) bytes[at] = 0;
    const before = process.memoryUsage().heapUsed;
    expect(() => decodeMsgpack(bytes)).toThrowError(/elements|more than/);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(128 * 1024 * 1024);
  });

  it('reads as many values as the largest attestation has', () => {
    const events = Array.from({ length: 60_000 }, (_, index) => ({ event: `e${index}`, payload: new Uint8Array(1) }));
    expect(decodeMsgpack(encodeMsgpack({ events }))).toHaveProperty('events.length', 60_000);
  });

  it('any bytes give a value or our own error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          decodeMsgpack(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** The part of CBOR that measurement documents use. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CborValue, decodeCbor, encodeCbor } from '../../src/codec/cbor.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { failure } from '../failure.ts';

const { value } = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.maxSafeNat(),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array({ maxLength: 300 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 }).map((object) => new Map(Object.entries(object))),
  ),
}));

describe('CBOR', () => {
  // RFC 8949, appendix A
  it.each<[CborValue, string]>([
    [0, '00'],
    [23, '17'],
    [24, '1818'],
    [100, '1864'],
    [1000, '1903e8'],
    [1_000_000, '1a000f4240'],
    [1_000_000_000_000, '1b000000e8d4a51000'],
    ['', '60'],
    ['IETF', '6449455446'],
    ['ü', '62c3bc'],
    [new Uint8Array(), '40'],
    [Uint8Array.of(1, 2, 3, 4), '4401020304'],
    [new Map(), 'a0'],
    [new Map([['b', 'B']]), 'a161626142'],
  ])('%j', (item, hex) => {
    expect(toHex(encodeCbor(item))).toBe(hex);
    expect(decodeCbor(fromHex(hex))).toEqual(item);
  });

  it('says the same after reading', () => {
    fc.assert(
      fc.property(value, (item) => {
        expect(decodeCbor(encodeCbor(item))).toEqual(item);
      }),
    );
  });

  it('has one form for each value', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        let item: CborValue;
        try {
          item = decodeCbor(bytes);
        } catch (thrown) {
          expect((thrown as { code?: string }).code).toBe('CODEC_INVALID');
          return;
        }
        expect(encodeCbor(item)).toEqual(bytes);
      }),
    );
  });

  it.each([
    ['nothing', ''],
    ['a number in a longer form', '1817'],
    ['a number in a longer form', '1900ff'],
    ['a number in a longer form', '1a0000ffff'],
    ['a number in a longer form', '1b00000000ffffffff'],
    ['a number beyond 2^53', '1b0020000000000000'],
    ['a number that ends', '19ff'],
    ['a negative number', '20'],
    ['an array', '80'],
    ['a tag', 'c000'],
    ['a fraction', 'f90000'],
    ['true', 'f5'],
    ['an indefinite length', '5f'],
    ['a reserved length', '1c'],
    ['a string beyond the end', '5a7fffffff00'],
    ['text that is not UTF-8', '61ff'],
    ['a key that is not text', 'a10000'],
    ['a key twice', 'a2616100616101'],
    ['half a map', 'a16161'],
    ['a map of 2^32 - 1 entries', 'baffffffff616100'],
    ['bytes behind the value', '0000'],
    ['a hundred maps in each other', `${'a16161'.repeat(100)}00`],
  ])('%s is refused', (_, hex) => {
    expect(failure(() => decodeCbor(fromHex(hex))).code).toBe('CODEC_INVALID');
  });
});

import fc from 'fast-check';
import { Bytes, compact, Option, Struct, str, u32, u64, Vector } from 'scale-ts';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { ScaleReader, ScaleWriter } from '../../src/codec/scale.ts';
import { DstackError } from '../../src/errors.ts';

const invalid = expect.objectContaining({ code: 'CODEC_INVALID' });

describe('compact numbers', () => {
  it.each([
    [0, '00'],
    [1, '04'],
    [63, 'fc'],
    [64, '0101'],
    [16_383, 'fdff'],
    [16_384, '02000100'],
    [1_073_741_823, 'feffffff'],
  ])('%i is %s', (value, hex) => {
    expect(toHex(new ScaleWriter().compact(value).finish())).toBe(hex);
    expect(new ScaleReader(fromHex(hex)).compact()).toBe(value);
    expect(toHex(Uint8Array.from(compact.enc(value)))).toBe(hex);
  });

  it.each([
    ['0100', 'not shortest: 0 in two bytes'],
    ['fd00', 'not shortest: 63 in two bytes'],
    ['02000000', 'not shortest: 0 in four bytes'],
    ['feff0000', 'not shortest: 16383 in four bytes'],
    ['0300000040', 'big integer mode'],
    ['01', 'cut'],
    ['020000', 'cut'],
    ['', 'empty'],
  ])('%s is refused: %s', (hex) => {
    expect(() => new ScaleReader(fromHex(hex)).compact()).toThrowError(invalid);
  });

  it.each([-1, 2 ** 30, 0.5, Number.NaN])('%d is not written', (value) => {
    expect(() => new ScaleWriter().compact(value)).toThrowError(invalid);
  });
});

describe('values', () => {
  const text = fc.string({ unit: 'binary' });
  const codec = Struct({ name: str, data: Bytes(), tags: Vector(str), time: Option(u64), index: u32 });
  const record = fc.record({
    name: text,
    data: fc.uint8Array(),
    tags: fc.array(text),
    time: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), { nil: undefined }),
    index: fc.integer({ min: 0, max: 0xffffffff }),
  });

  it('are written as an independent implementation writes them, and read back', () => {
    fc.assert(
      fc.property(record, (value) => {
        const bytes = new ScaleWriter()
          .string(value.name)
          .bytes(value.data)
          .vector(value.tags, (w, tag) => w.string(tag))
          .option(value.time, (w, time) => w.u64(time))
          .u32(value.index)
          .finish();
        expect(toHex(bytes)).toBe(toHex(Uint8Array.from(codec.enc(value))));
        const reader = new ScaleReader(bytes);
        expect({
          name: reader.string(),
          data: reader.bytes(),
          tags: reader.vector((r) => r.string()),
          time: reader.option((r) => r.u64()),
          index: reader.u32(),
        }).toEqual(value);
        reader.end();
      }),
    );
  });

  it('reads the rest, and demands that there is none', () => {
    const reader = new ScaleReader(Uint8Array.of(1, 2, 3));
    expect(reader.bool()).toBe(true);
    expect(() => reader.end()).toThrowError(/2 bytes are left over/);
    expect(reader.rest()).toEqual(Uint8Array.of(2, 3));
    reader.end();
  });

  it('copies: a caller that reuses its buffer changes nothing', () => {
    const source = Buffer.from('0c010203', 'hex');
    const value = new ScaleReader(source).bytes();
    source.fill(0);
    expect(value).toEqual(Uint8Array.of(1, 2, 3));
  });

  it.each([
    ['a boolean of 2', '02', (r: ScaleReader) => r.bool()],
    ['an option of 2', '02', (r: ScaleReader) => r.option((o) => o.u8())],
    ['text that is not UTF-8', '04ff', (r: ScaleReader) => r.string()],
    ['text longer than the bytes', '0c6162', (r: ScaleReader) => r.string()],
    ['a list of a billion', 'feffffff', (r: ScaleReader) => r.vector((v) => v.u8())],
  ])('%s is refused', (_, hex, read) => {
    expect(() => read(new ScaleReader(fromHex(hex)))).toThrowError(invalid);
  });

  it('any bytes give a value or our own error', () => {
    const reads: ((reader: ScaleReader) => unknown)[] = [
      (r) => r.vector((v) => v.vector((w) => w.bytes())),
      (r) => r.vector((v) => v.string()),
      (r) => r.option((o) => o.u64()),
    ];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.constantFrom(...reads), (bytes, read) => {
        try {
          read(new ScaleReader(bytes));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});

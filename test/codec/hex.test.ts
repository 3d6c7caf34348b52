import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';

describe('hex', () => {
  it('round trips in lower case, also for a view into a larger buffer', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        const view = Uint8Array.from([1, ...bytes, 2]).subarray(1, -1);
        expect(toHex(view)).toMatch(/^[0-9a-f]*$/);
        expect(fromHex(toHex(view))).toEqual(bytes);
        expect(fromHex(toHex(view).toUpperCase())).toEqual(bytes);
      }),
    );
  });

  it('takes a prefix only where it is told so', () => {
    expect(fromHex('0x0X0xab', { prefix: true })).toEqual(Uint8Array.from([0xab]));
    expect(() => fromHex('0xab')).toThrow('not a hex digit');
    expect(() => fromHex('0x0xa', { prefix: true })).toThrow('odd number');
  });

  it.each(['a', 'zz', 'ab ', ' ab', 'ab\n', 'äb', '--'])('refuses %j', (text) => {
    expect(() => fromHex(text, { field: 'app_id' })).toThrow(DstackError);
    expect(() => fromHex(text, { field: 'app_id' })).toThrow('in app_id');
  });

  it('checks the length, names the field and keeps secrets to itself', () => {
    expect(() => fromHex('abcd', { length: 3, field: 'x' })).toThrow('2 bytes instead of 3');
    try {
      fromHex('zz', { secret: true });
      expect.unreachable();
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: 'HEX_INVALID', value: undefined });
    }
  });

  it('throws nothing but a DstackError', () => {
    fc.assert(
      fc.property(fc.string(), fc.boolean(), (text, prefix) => {
        try {
          fromHex(text, { prefix });
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});

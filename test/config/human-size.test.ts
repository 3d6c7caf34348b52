import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatHumanSize, parseHumanSize } from '../../src/config/human-size.ts';
import { DstackError } from '../../src/errors.ts';
import vectors from '../vectors/config.json' with { type: 'json' };

describe('human sizes', () => {
  it.each(vectors.human_size)('$input', (vector) => {
    if (vector.error) {
      expect(() => parseHumanSize(vector.input)).toThrow(DstackError);
      return;
    }
    expect(parseHumanSize(vector.input)).toBe(BigInt(vector.bytes!));
    expect(formatHumanSize(vector.bytes!)).toBe(vector.formatted);
  });

  it.each([
    ['0', 0n],
    [' 64m ', 64n << 20n],
    ['0x10', 16n],
    ['0XfF', 255n],
    ['2GG', 2n << 30n],
    ['3t', 3n << 40n],
    ['18446744073709551615', (1n << 64n) - 1n],
  ])('%j is %d bytes', (text, bytes) => {
    expect(parseHumanSize(text)).toBe(bytes);
  });

  it.each(['', ' ', 'K', '-1', '+1', '1.5G', '1KB', '1 G', '0x', '0x1K', '18446744073709551616', '99999999T', '1Gg'])(
    'refuses %j',
    (text) => {
      expect(() => parseHumanSize(text, 'swap_size')).toThrow('field swap_size');
    },
  );

  it('throws nothing but a DstackError', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseHumanSize(text);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });

  it('formats exactly when it can, else with one decimal', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 1000n }), fc.constantFrom('K', 'M', 'G', 'T'), (count, unit) => {
        expect(formatHumanSize(parseHumanSize(`${count}${unit}`))).toBe(`${count}${unit}`);
      }),
    );
    expect(formatHumanSize(1023)).toBe('1023');
    expect(formatHumanSize(1280)).toBe('1.2K'); // a tie goes to the even digit
    expect(formatHumanSize(1331)).toBe('1.3K');
    expect(formatHumanSize(0)).toBe('0');
  });
});

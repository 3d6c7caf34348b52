import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/codec/jcs.ts';
import { DstackError } from '../../src/errors.ts';

describe('canonical JSON', () => {
  it('writes the example of RFC 8785, 3.2.2', () => {
    const value = JSON.parse(
      `{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],` +
        String.raw`"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
    );
    expect(canonicalJson(value)).toBe(
      `{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],` +
        String.raw`"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it('sorts keys by UTF-16 units (RFC 8785, 3.2.3)', () => {
    const keys = ['\u20ac', '\r', '\ufb33', '1', '\u{1f600}', '\u0080', '\u00f6'];
    const value = Object.fromEntries(keys.map((key) => [key, 0]));
    const written = Object.keys(JSON.parse(canonicalJson(value)));
    // integer-like keys come first in any object, so compare the text
    expect(canonicalJson(value)).toBe('{"\\r":0,"1":0,"\u0080":0,"ö":0,"€":0,"\u{1f600}":0,"\ufb33":0}');
    expect(written).toHaveLength(keys.length);
  });

  it('keeps the meaning, does not depend on key order, and is a fixed point', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        const value = JSON.parse(text);
        let canonical: string;
        try {
          canonical = canonicalJson(value);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
          return;
        }
        expect(JSON.parse(canonical)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(JSON.parse(canonical))).toBe(canonical);
        expect(canonicalJson(reversed(value))).toBe(canonical);
      }),
    );
  });

  it.each([undefined, Number.NaN, Number.POSITIVE_INFINITY, 1n, { a: ['\ud800'] }, { '\udfff': 1 }])(
    'refuses %s',
    (value) => {
      expect(() => canonicalJson(value)).toThrow(DstackError);
    },
  );

  it('takes text that only looks like an escaped surrogate', () => {
    expect(canonicalJson('\\ud800')).toBe('"\\\\ud800"');
    expect(canonicalJson('\u{1f600}')).toBe('"\u{1f600}"');
  });
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reversed(inner)]),
  );
}

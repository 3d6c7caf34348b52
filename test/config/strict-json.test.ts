import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isIntegerLiteral, MAX_DEPTH, parseStrictJson, parseStrictJsonBytes } from '../../src/config/strict-json.ts';
import { DstackError } from '../../src/errors.ts';

const code = (text: string): string => {
  try {
    parseStrictJson(text, 'x.json');
    return 'accepted';
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(DstackError);
    return (thrown as DstackError).code;
  }
};

describe('strict JSON', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(parseStrictJson(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('never accepts what JSON.parse refuses, and throws nothing but JSON_INVALID', () => {
    const pieces = ['{', '}', '[', ']', ',', ':', '"', '\\', '\\u00', 'true', 'nul', '0', '-', '1e5', '.5', ' ', '\n'];
    const noise = fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 3 })), { maxLength: 12 });
    fc.assert(
      fc.property(noise, (parts) => {
        const text = parts.join('');
        if (code(text) === 'accepted') expect(parseStrictJson(text)).toEqual(JSON.parse(text));
        else expect(code(text)).toBe('JSON_INVALID');
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    '',
    ' ',
    '{',
    '{"a":1,}',
    '[1,]',
    '[,1]',
    '{"a" 1}',
    '{a:1}',
    "{'a':1}",
    '// no\n1',
    '/* no */ 1',
    '1 2',
    '01',
    '+1',
    '.5',
    '1.',
    '1e',
    '0x10',
    'NaN',
    'Infinity',
    '-',
    'tru',
    'True',
    '"\t"',
    '"\\x41"',
    '"\\u12g4"',
    '"\\u123"',
    '"unterminated',
    '"\\',
    '\ufeff{}',
    '\u00a01',
    '1e999',
    '-1e999',
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '{"\\ud800":1}',
  ])('refuses %j', (text) => {
    expect(code(text)).toBe('JSON_INVALID');
  });

  it('takes surrogate pairs however they are written', () => {
    expect(parseStrictJson('"\\ud83d\\ude00\u{1f600}"')).toBe('\u{1f600}\u{1f600}');
  });

  it('finds the end of a string behind any number of backslashes', () => {
    const text = fc.array(fc.constantFrom('\\', '"', 'a', '\n'), { maxLength: 12 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(parseStrictJson(JSON.stringify([a, b, { [a]: b }]))).toEqual([a, b, { [a]: b }]);
      }),
    );
  });

  it('refuses a duplicate key at any level, also when it is written differently', () => {
    for (const text of ['{"a":1,"a":1}', '{"x":[{"a":1,"b":2,"a":3}]}', '{"a":1,"\\u0061":2}']) {
      expect(() => parseStrictJson(text, 'x.json')).toThrow('duplicate key "a"');
    }
    expect(parseStrictJson('{"a":{"a":1}}')).toEqual({ a: { a: 1 } });
  });

  it('keeps __proto__ an ordinary key', () => {
    const value = parseStrictJson('{"__proto__":{"polluted":true},"constructor":1}') as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.hasOwn(value, '__proto__')).toBe(true);
    expect('polluted' in value).toBe(false);
    expect(code('{"__proto__":1,"__proto__":2}')).toBe('JSON_INVALID');
  });

  it('bounds nesting, so hostile input cannot exhaust the stack', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(code(nested(MAX_DEPTH))).toBe('accepted');
    expect(code(nested(MAX_DEPTH + 1))).toBe('JSON_INVALID');
    expect(code('['.repeat(5_000_000))).toBe('JSON_INVALID');
    expect(code('{"a":'.repeat(1_000_000))).toBe('JSON_INVALID');
  });

  it('says where', () => {
    expect(() => parseStrictJson('{\n  "a": 1,\n  "b": x\n}', 'f')).toThrow('at line 3 column 8');
  });

  it('knows which numbers were written as integers', () => {
    const list = parseStrictJson('[0,1,-7,2.0,2e0,-0,2.5,"3"]') as unknown[];
    expect(list.map((_, i) => isIntegerLiteral(list, i))).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
    const nested = parseStrictJson('{"a":[1.0],"b":1}') as { a: unknown[] };
    expect(isIntegerLiteral(nested, 'b')).toBe(true);
    expect(isIntegerLiteral(nested.a, 0)).toBe(false);
  });

  it('refuses bytes that are not UTF-8', () => {
    expect(() => parseStrictJsonBytes(Uint8Array.from([0x22, 0xff, 0x22]), 'f')).toThrow(DstackError);
  });

  it('reads a large document quickly', () => {
    const text = JSON.stringify({ docker_compose_file: 'x: "y"\n'.repeat(500_000) });
    const started = performance.now();
    parseStrictJson(text);
    expect(performance.now() - started).toBeLessThan(3000);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeJson, decodeQuery, encodeJson } from '../../src/codec/prpc-json.ts';
import { defaultsOf, type Field, fieldsOf, MESSAGES, type MessageName } from '../../src/codec/prpc-messages.ts';
import { anyMessage } from './prpc-arbitrary.ts';

const names = Object.keys(MESSAGES).filter((name) => name !== 'Empty') as MessageName[];

describe('the message table', () => {
  it.each(names)('%s has unique field numbers and known types', (name) => {
    const numbers = [...fieldsOf(name).values()].map((field) => field.no);
    expect(new Set(numbers).size).toBe(numbers.length);
    for (const field of fieldsOf(name).values())
      if (typeof field.type === 'object') expect(MESSAGES).toHaveProperty(field.type.message);
  });
});

/** The mapping once more, in the plainest way. */
function plain(name: MessageName, message: Record<string, unknown>): unknown {
  const value = (field: Field, item: unknown): unknown => {
    if (item === undefined) return null;
    if (typeof field.type === 'object')
      return plain(field.type.message as MessageName, item as Record<string, unknown>);
    return item instanceof Uint8Array ? Array.from(item, (byte) => byte.toString(16).padStart(2, '0')).join('') : item;
  };
  const entries = [...fieldsOf(name)]
    .filter(([key, { omitEmpty }]) => !omitEmpty || (message[key] as Uint8Array).length > 0)
    .map(([key, field]) => [
      key,
      field.repeated ? (message[key] as unknown[]).map((item) => value(field, item)) : value(field, message[key]),
    ]);
  return Object.fromEntries(entries);
}

const escaped = (text: string): string =>
  text.replace(/[^\x00-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

describe('encodeJson', () => {
  it('writes every field in declaration order, bytes as hex', () => {
    const text = encodeJson('GetKeyResponse', {
      key: Uint8Array.of(0, 0xab),
      signature_chain: [Uint8Array.of(1), new Uint8Array(0)],
    });
    expect(text).toBe('{"key":"00ab","signature_chain":["01",""]}');
  });
  it('writes unset optional fields as null and numbers as numbers', () => {
    const text = encodeJson('GetTlsKeyArgs', { ...defaultsOf('GetTlsKeyArgs'), not_after: 9007199254740991 });
    expect(text).toContain('"not_before":null,"not_after":9007199254740991,"with_app_info":false');
  });
  it('leaves out GetQuoteResponse.attestation only when it is empty', () => {
    const empty = defaultsOf('GetQuoteResponse');
    expect(encodeJson('GetQuoteResponse', empty)).toBe('{"quote":"","event_log":"","report_data":"","vm_config":""}');
    expect(encodeJson('GetQuoteResponse', { ...empty, attestation: Uint8Array.of(9) })).toMatch(/"attestation":"09"}$/);
  });
  it.each(names)('writes %s as JSON.stringify does', (name) => {
    fc.assert(
      fc.property(anyMessage(name), (message) => {
        expect(encodeJson(name, message)).toBe(
          escaped(JSON.stringify(plain(name, message as Record<string, unknown>))),
        );
      }),
      { numRuns: 25 },
    );
  });
  it('follows a long text that changes, though it keeps its JSON form', () => {
    const message = (event_log: string) => ({ ...defaultsOf('GetQuoteResponse'), event_log });
    const long = `"\u00e9\u007f${'x'.repeat(5000)}`;
    for (const text of [long, long, `${long}y`, `${long}z`, '', long, long.replace('x', 'y')])
      expect(JSON.parse(encodeJson('GetQuoteResponse', message(text))).event_log).toBe(text);
  });
  it('writes Empty as null', () => expect(encodeJson('Empty', {})).toBe('null'));
  it('is pure ASCII and keeps the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const json = encodeJson('WorkerVersion', { version: text, rev: '' });
        expect(json).toMatch(/^[\x20-\x7e]*$/);
        expect(JSON.parse(json).version).toBe(text);
      }),
    );
  });
});

describe('decodeJson', () => {
  it.each(names)('%s survives a round trip', (name) => {
    fc.assert(
      fc.property(anyMessage(name), (message) => {
        expect(decodeJson(name, encodeJson(name, message))).toEqual(message);
      }),
      { numRuns: 25 },
    );
  });
  it('takes an empty body and {} as all defaults and ignores unknown fields', () => {
    expect(decodeJson('GetKeyArgs', '')).toEqual({ path: '', purpose: '', algorithm: '' });
    expect(decodeJson('GetKeyArgs', '{}')).toEqual(decodeJson('GetKeyArgs', ''));
    expect(decodeJson('GetKeyArgs', '{"path":"a","__proto__":{"purpose":"x"},"nope":1}')).toEqual({
      path: 'a',
      purpose: '',
      algorithm: '',
    });
  });
  it('ignores the body of a method without a request', () => expect(decodeJson('Empty', 'not json')).toEqual({}));
  it.each([
    ['0x00ff', '00ff'],
    ['0x0x0xAB', 'ab'],
    ['', ''],
  ])('reads hex %j', (text, hex) => {
    const { report_data } = decodeJson('RawQuoteArgs', JSON.stringify({ report_data: text }));
    expect(Buffer.from(report_data).toString('hex')).toBe(hex);
  });
  it.each([
    ['RawQuoteArgs', '{"report_data":"abc"}', 'field report_data has an odd number of hex digits (3)'],
    ['RawQuoteArgs', '{"report_data":"zz"}', 'field report_data has a character that is not a hex digit'],
    ['RawQuoteArgs', '{"report_data":"ab0x"}', 'field report_data has a character that is not a hex digit'],
    ['RawQuoteArgs', '{"report_data":null}', 'field report_data must be a string of hex digits, found null'],
    ['GetKeyArgs', '{"path":null}', 'field path must be a string, found null'],
    ['GetKeyArgs', '{"path":7}', 'field path must be a string, found a number'],
    ['GetKeyArgs', '[]', 'the request body must be a JSON object, found an array'],
    ['GetKeyArgs', 'null', 'the request body must be a JSON object, found null'],
    ['GetTlsKeyArgs', '{"usage_ra_tls":"true"}', 'field usage_ra_tls must be true or false, found a string'],
    ['GetTlsKeyArgs', '{"alt_names":"a"}', 'field alt_names must be an array, found a string'],
    ['GetTlsKeyArgs', '{"alt_names":["a",1]}', 'field alt_names[1] must be a string, found a number'],
    ['GetTlsKeyArgs', '{"not_before":"1"}', 'field not_before must be a number, found a string'],
    ['GetTlsKeyArgs', '{"not_before":-1}', 'field not_before must not be negative'],
    ['GetTlsKeyArgs', '{"not_before":1.5}', 'field not_before must be a whole number'],
    ['GetTlsKeyArgs', '{"not_before":18446744073709551615}', 'field not_before is out of range'],
    ['GetKeyArgs', '{"path":"a",}', 'the request body is not valid JSON'],
  ] as const)('refuses %s %s', (name, body, message) => expect(() => decodeJson(name, body)).toThrow(message));
  it('never quotes the body in its complaint', () => {
    try {
      decodeJson('SignRequest', '{"data": secret-value }');
      expect.unreachable();
    } catch (thrown) {
      expect(`${thrown} ${(thrown as Error).cause}`).not.toContain('secret');
    }
  });
  it('answers any text with a message or a typed error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        try {
          decodeJson('GetTlsKeyArgs', text);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'RPC_REQUEST_INVALID' });
        }
      }),
    );
  });
});

describe('decodeQuery', () => {
  it('reads strings, booleans, numbers and lists', () => {
    const query = 'subject=a+b%20c&alt_names[1]=y&alt_names[0]=x&usage_ra_tls=true&not_before=17&unknown=1';
    expect(decodeQuery('GetTlsKeyArgs', query)).toEqual({
      ...defaultsOf('GetTlsKeyArgs'),
      subject: 'a b c',
      alt_names: ['x', 'y'],
      usage_ra_tls: true,
      not_before: 17,
    });
  });
  it('reads bytes as hex and escaped brackets as list marks', () => {
    expect(decodeQuery('RawQuoteArgs', 'report_data=0x0102').report_data).toEqual(Uint8Array.of(1, 2));
    expect(decodeQuery('GetTlsKeyArgs', 'alt_names%5B0%5D=q').alt_names).toEqual(['q']);
  });
  it.each([
    ['usage_ra_tls=1', 'field usage_ra_tls must be true or false'],
    ['not_before=x', 'field not_before must be a number'],
    ['subject=%ff', 'field subject is not correctly percent-encoded UTF-8'],
  ])('refuses %s', (query, message) => expect(() => decodeQuery('GetTlsKeyArgs', query)).toThrow(message));
  it('reads back what a form encoder writes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (path, purpose) => {
        const query = new URLSearchParams({ path, purpose }).toString();
        expect(decodeQuery('GetKeyArgs', query)).toEqual({ path, purpose, algorithm: '' });
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MESSAGES, type MessageName } from '../../src/codec/prpc-messages.ts';
import { decodeProtobuf, encodeProtobuf } from '../../src/codec/prpc-protobuf.ts';
import { anyMessage } from './prpc-arbitrary.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const names = Object.keys(MESSAGES).filter((name) => name !== 'Empty') as MessageName[];

describe('protobuf mapping', () => {
  it('writes GetKeyArgs as the reference does', () => {
    const message = { path: 'vms', purpose: 'signing', algorithm: 'ed25519' };
    expect(hex(encodeProtobuf('GetKeyArgs', message))).toBe('0a03766d7312077369676e696e671a0765643235353139');
  });
  it('keeps a byte order mark, which makes another path of a key', () => {
    const message = { path: '\ufeffvms', purpose: '', algorithm: '' };
    expect(decodeProtobuf('GetKeyArgs', encodeProtobuf('GetKeyArgs', message))).toEqual(message);
  });
  it.each(names)('%s survives a round trip', (name) => {
    fc.assert(
      fc.property(anyMessage(name), (message) => {
        expect(decodeProtobuf(name, encodeProtobuf(name, message))).toEqual(message);
      }),
      { numRuns: 25 },
    );
  });
  it('writes nothing for defaults and Empty, and reads nothing as defaults', () => {
    expect(encodeProtobuf('GetKeyArgs', { path: '', purpose: '', algorithm: '' })).toHaveLength(0);
    expect(encodeProtobuf('Empty', {})).toHaveLength(0);
    expect(decodeProtobuf('GetKeyArgs', new Uint8Array(0))).toEqual({ path: '', purpose: '', algorithm: '' });
  });
  it('keeps an optional zero', () => {
    const { not_before } = decodeProtobuf('GetTlsKeyArgs', Uint8Array.of(6 << 3, 0));
    expect(not_before).toBe(0);
  });
  it('skips unknown fields and lets the last occurrence win', () => {
    const bytes = Uint8Array.from(Buffer.from('7a01ff' + '0a0161' + '0a0162', 'hex'));
    expect(decodeProtobuf('GetKeyArgs', bytes).path).toBe('b');
  });
  it.each([
    ['a wrong wire type', '0801'],
    ['a length beyond the end', '0a05aa'],
    ['text that is not UTF-8', '0a01ff'],
    ['an end group', '0c'],
    ['a number beyond 2^53', '30ffffffffffffffffff01'],
  ])('refuses %s', (_, text) => {
    expect(() => decodeProtobuf('GetTlsKeyArgs', Uint8Array.from(Buffer.from(text, 'hex')))).toThrow(
      expect.objectContaining({ code: 'RPC_REQUEST_INVALID' }),
    );
  });
  it('answers any bytes with a message or a typed error', () => {
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.uint8Array({ maxLength: 200 }), (name, bytes) => {
        try {
          decodeProtobuf(name, bytes);
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: 'RPC_REQUEST_INVALID' });
        }
      }),
      { numRuns: 500 },
    );
  });
});

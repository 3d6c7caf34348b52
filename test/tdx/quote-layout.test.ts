import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { parseQuote, V4_REPORT_DATA_OFFSET } from '../../src/tdx/quote-layout.ts';
import { register, sampleQuote } from './sample.ts';

const QUOTE = sampleQuote({ mrConfigId: register(1), mrOwner: register(2), mrOwnerConfig: register(3) });

/** The same content in a version 5 quote. */
function version5(bodyType: 2 | 3): Uint8Array {
  const extra = bodyType === 3 ? [...new Uint8Array(16).fill(0xb0), ...new Uint8Array(48).fill(0xb1)] : [];
  const descriptor = new Uint8Array(6);
  const view = new DataView(descriptor.buffer);
  view.setUint16(0, bodyType, true);
  view.setUint32(2, 584 + extra.length, true);
  const quote = Uint8Array.from([
    ...QUOTE.subarray(0, 48),
    ...descriptor,
    ...QUOTE.subarray(48, 632),
    ...extra,
    ...QUOTE.subarray(632),
  ]);
  quote[0] = 5;
  return quote;
}

describe('quote layout', () => {
  it('finds the fields of version 4', () => {
    const quote = parseQuote(QUOTE);
    expect(quote).toMatchObject({ version: 4, attestationKeyType: 2, qeSvn: 1, pceSvn: 0, bodyType: 2 });
    expect(toHex(quote.qeVendorId)).toBe('939a7233f79c4ca9940a0db3957f0607');
    expect(toHex(quote.body.tdAttributes)).toBe('0000001000000000');
    expect(quote.body.mrtd).toEqual(register(0x11));
    expect(quote.body.mrConfigId).toEqual(register(1));
    expect(quote.body.mrOwner).toEqual(register(2));
    expect(quote.body.mrOwnerConfig).toEqual(register(3));
    expect(quote.body.rtmrs).toEqual([register(0xa0), register(0xa1), register(0xa2), register(0xa3)]);
    expect(quote.body.reportData).toEqual(new Uint8Array(64).fill(0x77));
    expect(QUOTE.subarray(V4_REPORT_DATA_OFFSET, V4_REPORT_DATA_OFFSET + 64)).toEqual(quote.body.reportData);
    expect(quote.signedLength).toBe(632);
    expect(quote.authData.length).toBe(QUOTE.length - 636);
    expect(quote.body.mrServiceTd).toBeUndefined();
  });

  it('finds the same in version 5, TDX 1.0 and 1.5', () => {
    const { mrSeam, ...body } = parseQuote(QUOTE).body;
    expect(parseQuote(version5(2))).toMatchObject({ version: 5, bodyType: 2, body, signedLength: 638 });
    const quote = parseQuote(version5(3));
    expect(quote).toMatchObject({ version: 5, bodyType: 3, body, signedLength: 702 });
    expect(quote.body.mrSeam).toEqual(mrSeam);
    expect(quote.body.teeTcbSvn2).toEqual(new Uint8Array(16).fill(0xb0));
    expect(quote.body.mrServiceTd).toEqual(register(0xb1));
  });

  it('allows bytes behind the authentication data', () => {
    expect(parseQuote(Uint8Array.from([...QUOTE, 0, 0, 0]))).toEqual(parseQuote(QUOTE));
  });

  it.each([
    ['version 3', 0, 3],
    ['version 6', 0, 6],
    ['an SGX quote', 4, 0],
    ['authentication data of 4 GiB', 635, 0xff],
  ])('refuses %s', (_, offset, byte) => {
    const copy = Uint8Array.from(QUOTE);
    copy[offset] = byte;
    expect(() => parseQuote(copy)).toThrowError(expect.objectContaining({ code: 'QUOTE_INVALID' }));
  });

  it.each([
    ['an SGX body', 48, 1],
    ['an unknown body', 48, 4],
    ['a body size that is not that of its type', 50, 0],
  ])('refuses %s in version 5', (_, offset, byte) => {
    const copy = version5(3);
    copy[offset] = byte;
    expect(() => parseQuote(copy)).toThrowError(expect.objectContaining({ code: 'QUOTE_INVALID' }));
  });

  it('is refused at every place where it can be cut', () => {
    for (let size = 0; size < QUOTE.length; size += size < 700 ? 1 : 97) {
      expect(() => parseQuote(QUOTE.subarray(0, size)), `cut at ${size}`).toThrowError(DstackError);
    }
  });

  it('throws nothing but its own error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 800 }), fc.constantFrom(4, 5), (bytes, version) => {
        if (bytes.length > 8) bytes.set([version, 0, 2, 0, 0x81, 0, 0, 0]);
        try {
          parseQuote(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesOfText } from '../../src/codec/bytes-text.ts';
import { toHex } from '../../src/codec/hex.ts';

const bytes = fc.uint8Array({ maxLength: 100 });
const plain = (data: Uint8Array) => Uint8Array.from(data);

describe('base64', () => {
  it('is read in each of its forms', () => {
    fc.assert(
      fc.property(bytes, (data) => {
        const text = Buffer.from([0xff, 0xff, ...data]).toString('base64');
        for (const form of [text, text.replace(/=+$/, ''), text.replaceAll('+', '-').replaceAll('/', '_')]) {
          expect(bytesOfText(form)).toEqual({ bytes: Uint8Array.from([0xff, 0xff, ...data]), encoding: 'base64' });
        }
      }),
    );
  });

  it.each(['G', 'AAAAG', 'GB', 'GAB=', 'GA=', 'G===', '+-GA', 'GA!A', '=GAA', 'GAAA='])('refuses %s', (text) => {
    expect(() => bytesOfText(text)).toThrow(expect.objectContaining({ code: 'CODEC_INVALID' }));
  });
});

describe('bytes kept as text', () => {
  it('are hex where they can be, and have one meaning', () => {
    fc.assert(
      fc.property(bytes, (data) => {
        const hex = toHex(data);
        for (const text of [hex, hex.toUpperCase(), `0x${hex}\n`, hex.replace(/(.{16})/g, '$1\n')]) {
          expect(bytesOfText(text)).toEqual({ bytes: plain(data), encoding: 'hex' });
        }
      }),
    );
    expect(bytesOfText('beef')).toEqual({ bytes: Uint8Array.of(0xbe, 0xef), encoding: 'hex' });
    expect(bytesOfText('bee_')).toMatchObject({ encoding: 'base64' });
    expect(bytesOfText('BAAC\r\nAIEA')).toEqual({ bytes: Uint8Array.of(4, 0, 2, 0, 0x81, 0), encoding: 'base64' });
    expect(() => bytesOfText('bee')).toThrow(expect.objectContaining({ code: 'HEX_INVALID' }));
  });
});

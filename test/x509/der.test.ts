import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { DerReader, oidText, timeOf } from '../../src/x509/der.ts';

describe('DER', () => {
  it('is read in its one form only', () => {
    expect(toHex(new DerReader(fromHex('0403010203')).next(4).content)).toBe('010203');
    for (const bad of ['04', '0402', '040201', '0480', '048101', '04820001', '0485', '1f8101', '04810100']) {
      expect(() => new DerReader(fromHex(bad)).next(), bad).toThrow(DstackError);
    }
    expect(oidText(fromHex('2a864886f84d010d01'))).toBe('1.2.840.113741.1.13.1');
    expect(oidText(fromHex('551d11'))).toBe('2.5.29.17');
    const time = (tag: number, text: string) => timeOf({ tag, content: Buffer.from(text), raw: Buffer.from('') });
    expect(time(0x17, '500101000000Z')).toBe(Date.parse('1950-01-01T00:00:00Z'));
    expect(time(0x18, '20500101000000Z')).toBe(Date.parse('2050-01-01T00:00:00Z'));
    for (const bad of ['20501301000000Z', '2050010100000Z', '20500101000000+0100']) {
      expect(() => time(0x18, bad)).toThrow(DstackError);
    }
  });
});

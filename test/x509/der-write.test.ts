import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { integer, item, oid, time } from '../../src/x509/der-write.ts';

describe('DER that is written', () => {
  it.each([
    [integer(Uint8Array.of(0)), '020100'],
    [integer(Uint8Array.of(127)), '02017f'],
    [integer(Uint8Array.of(128)), '02020080'],
    [integer(Uint8Array.of(0, 0, 1)), '020101'],
    [oid('1.2.840.113741.1.13.1'), '06092a864886f84d010d01'],
    [oid('2.5.29.17'), '0603551d11'],
    [time(Date.parse('2020-01-01T00:00:00Z') / 1000), `170d${Buffer.from('200101000000Z').toString('hex')}`],
    [time(Date.parse('2100-01-01T00:00:00Z') / 1000), `180f${Buffer.from('21000101000000Z').toString('hex')}`],
    [item(4, new Uint8Array(200)).subarray(0, 3), '0481c8'],
    [item(4, new Uint8Array(70_000)).subarray(0, 5), '0483011170'],
  ])('%# is %s', (bytes, hex) => {
    expect(toHex(bytes)).toBe(hex);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { type Certificate, parseCertificate, parsePemChain } from '../../src/x509/certificate.ts';
import { checkChain } from '../../src/x509/chain.ts';
import { isRevoked, parseCrl } from '../../src/x509/crl.ts';
import { NOW, PKI } from '../verify/guest.ts';

describe('certificates and lists', () => {
  const root = parseCertificate(PKI.root);
  const pck = parseCertificate(PKI.pck);
  const pckCa = parseCertificate(PKI.pckCa);

  const inOrder = (chain: readonly Certificate[], at = NOW) => checkChain(chain, { root, at, inOrder: true });

  it('are read as openssl reads them', () => {
    expect(pck).toMatchObject({ commonName: 'Mock Intel SGX PCK Certificate', serial: '2a', ca: false });
    expect([pckCa.ca, new Date(pck.notAfter).toISOString()]).toEqual([true, '2100-01-01T00:00:00.000Z']);
    expect(parseCrl(PKI.pckCrl).serials.size).toBe(0);
    expect(isRevoked(pck, [{ ...parseCrl(PKI.pckCrl), serials: new Set(['2a']) }])).toBe(true);
    expect(isRevoked(pck, [{ ...parseCrl(PKI.rootCrl), serials: new Set(['2a']) }])).toBe(false);
  });

  it('chain only in their order and to the very root', () => {
    expect(() => inOrder([pck, pckCa, root])).not.toThrow();
    expect(() => inOrder([pck, root])).toThrow(/not issued by/);
    expect(() => inOrder([pckCa, root])).toThrow(/is a CA where a leaf is needed/);
    expect(() => inOrder([pck, pckCa])).toThrow(/not at the trusted root/);
    expect(() => inOrder([pck, pckCa, root], Date.parse('2101-01-01'))).toThrow(/expired at/);
    expect(() => inOrder([pck, { ...pckCa, ca: false }, root])).toThrow(/signs others, but is not a CA/);
  });

  it('with anything else around them are refused where that matters', () => {
    const pem = Buffer.from(PKI.pck).toString('base64');
    const text = `-----BEGIN CERTIFICATE-----\n${pem}\n-----END CERTIFICATE-----\n`;
    expect(parsePemChain(`${text}\0`, true)).toHaveLength(1);
    expect(parsePemChain(`Subject: x\n${text}`)).toHaveLength(1);
    expect(() => parsePemChain(`Subject: x\n${text}`, true)).toThrow(/unknown content/);
    expect(() => parsePemChain(text.repeat(9))).toThrow(/9 certificates/);
  });

  it('damaged in any way give an error of this program', () => {
    fc.assert(
      fc.property(fc.nat(PKI.pck.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const copy = Uint8Array.from(PKI.pck);
        copy[at] = (copy[at] ?? 0) ^ change;
        try {
          inOrder([parseCertificate(copy), pckCa, root]);
        } catch (thrown) {
          return thrown instanceof DstackError;
        }
        return false; // no change may go unnoticed
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const read of [parseCertificate, parseCrl]) expect(() => read(bytes)).toThrow(DstackError);
      }),
    );
  });
});

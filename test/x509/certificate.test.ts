import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { localCaCert } from '../../src/keys/ca-cert.ts';
import { p256FromScalar } from '../../src/keys/derive.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { encodeAppInfo } from '../../src/tdx/app-info-extension.ts';
import { encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { checkIssuedInOrder, parseCertificate, parsePemChain } from '../../src/x509/certificate.ts';
import { isRevoked, parseCrl } from '../../src/x509/crl.ts';
import { DerReader, oidText, timeOf } from '../../src/x509/der.ts';
import { issueCertificate } from '../../src/x509/issue.ts';
import { fromPem } from '../../src/x509/pem.ts';
import { attestationOf, bootEvents, judge, NOW, named, PKI } from '../verify/guest.ts';

const KEY = p256FromScalar(new Uint8Array(32).fill(7));
const LEAF = p256FromScalar(new Uint8Array(32).fill(8));
const APP_ID = new Uint8Array(20).fill(1);
const pemBytes = (pem: string): Uint8Array => new Uint8Array(Buffer.from(pem));
const attestationFor = (spki: Uint8Array, version: 1 | 2 = 1) =>
  attestationOf(bootEvents(version), { reportData: certReportData(spki) });
const evidenceFor = (spki: Uint8Array, version: 1 | 2 = 1) => encodeVersioned(strip(attestationFor(spki, version)));

const ca = await localCaCert({ appKey: KEY, attestation: evidenceFor(KEY.spkiDer) });
const issuer = { certificate: ca, key: KEY };
const leafOf = (changes: object = {}) =>
  issueCertificate({ commonName: 'leaf', attestation: evidenceFor(LEAF.spkiDer), ...changes }, LEAF, issuer);

describe('RA-TLS certificates', () => {
  it.each([1, 2] as const)('with events of version %i are valid, in PEM, DER and as a chain', async (version) => {
    const appInfo = encodeAppInfo(decodeAppInfo(attestationFor(LEAF.spkiDer, version)));
    const leaf = await leafOf({ attestation: evidenceFor(LEAF.spkiDer, version), appId: APP_ID, appInfo });
    for (const input of [pemBytes(leaf), fromPem(leaf, 'CERTIFICATE'), pemBytes(leaf + ca)]) {
      const report = await judge(input);
      expect([report.verdict, ...named(report, 'fail')]).toEqual(['valid']);
      expect(report.evidence?.form).toMatch(/^RA-TLS certificate, attestation V/);
    }
    expect(named(await judge(pemBytes(leaf + ca)), 'note').join()).toContain('its chain ends at App Root Cert');
  });

  it('of the app’s own CA are valid too', async () => {
    expect((await judge(pemBytes(ca))).verdict).toBe('valid');
  });

  it.each([
    ['a quote for another key', { attestation: evidenceFor(KEY.spkiDer) }, 'certificate-key'],
    ['another app id', { appId: new Uint8Array(20) }, 'certificate-app-id'],
    ['a time that is over', { notBefore: 0, notAfter: NOW / 1000 - 1 }, 'certificate-validity'],
  ])('with %s are invalid', async (_, changes, check) => {
    const report = await judge(pemBytes(await leafOf(changes)));
    expect(named(report, 'fail').map((text) => text.split(':')[0])).toEqual([check]);
  });

  it('with another identity than the measured one are invalid', async () => {
    const info = decodeAppInfo(attestationOf());
    const appInfo = encodeAppInfo({ ...info, composeHash: new Uint8Array(32) });
    expect(named(await judge(pemBytes(await leafOf({ appInfo }))), 'fail').join()).toMatch(/^certificate-app-info/);
  });

  it('in a chain must be issued by the next', async () => {
    const other = await localCaCert({ appKey: LEAF });
    expect(named(await judge(pemBytes((await leafOf()) + other)), 'fail').join()).toMatch(
      /leaf is not signed by App Root/,
    );
  });

  it('without evidence are no evidence', async () => {
    const report = await judge(pemBytes(await issueCertificate({ commonName: 'plain' }, KEY)));
    expect(named(report, 'fail').join()).toContain('the certificate carries no attestation');
  });
});

describe('certificates and lists', () => {
  const root = parseCertificate(PKI.root);
  const pck = parseCertificate(PKI.pck);
  const pckCa = parseCertificate(PKI.pckCa);

  it('are read as openssl reads them', () => {
    expect(pck).toMatchObject({ commonName: 'Mock Intel SGX PCK Certificate', serial: '2a', ca: false });
    expect([pckCa.ca, new Date(pck.notAfter).toISOString()]).toEqual([true, '2100-01-01T00:00:00.000Z']);
    expect(parseCrl(PKI.pckCrl).serials.size).toBe(0);
    expect(isRevoked(pck, { ...parseCrl(PKI.pckCrl), serials: new Set(['2a']) })).toBe(true);
  });

  it('chain only in their order and to the very root', () => {
    expect(() => checkIssuedInOrder([pck, pckCa, root], root, NOW)).not.toThrow();
    expect(() => checkIssuedInOrder([pck, root], root, NOW)).toThrow(/not issued by/);
    expect(() => checkIssuedInOrder([pckCa, root], root, NOW)).toThrow(/is a CA where a leaf is needed/);
    expect(() => checkIssuedInOrder([pck, pckCa], root, NOW)).toThrow(/not at the trusted root/);
    expect(() => checkIssuedInOrder([pck, pckCa, root], root, Date.parse('2101-01-01'))).toThrow(/not valid at/);
    expect(() => checkIssuedInOrder([pck, { ...pckCa, ca: false }, root], root, NOW)).toThrow(
      /signs others, but is no CA/,
    );
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
          checkIssuedInOrder([parseCertificate(copy), pckCa, root], root, NOW);
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

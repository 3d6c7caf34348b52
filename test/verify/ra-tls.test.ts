import { describe, expect, it } from 'vitest';
import { localCaCert } from '../../src/keys/ca-cert.ts';
import { p256FromScalar } from '../../src/keys/derive.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { encodeAppInfo } from '../../src/tdx/app-info-extension.ts';
import { encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { fromPem, issueCertificate } from '../../src/x509/x509.ts';
import { attestationOf, bootEvents, judge, NOW, named } from './guest.ts';

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
      /"leaf" is not signed by "App Root Cert"/,
    );
  });

  it('without evidence are no evidence', async () => {
    const report = await judge(pemBytes(await issueCertificate({ commonName: 'plain' }, KEY)));
    expect(report.verdict).toBe('unchecked');
    expect(named(report, 'unknown').join()).toContain('the certificate carries no attestation');
  });
});

import { X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { DstackError } from '../../src/errors.ts';
import { signLeaf } from '../../src/keys/ca-cert.ts';
import { generateAppKeys, generateCa, parseCaLevel } from '../../src/keys/generate.ts';
import { certReportData, reportData } from '../../src/keys/report-data.ts';
import { tempCertificate } from '../../src/keys/temp-cert.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { decodeVersioned, encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { issueCertificate, OID, readExtension } from '../../src/x509/x509.ts';
import { failure } from '../failure.ts';
import { mockEvidence } from '../net/ra-tls-server.ts';
import { certificateText, hasOpenssl, opensslVerify } from './openssl.ts';

const PKI = mockPki(new Uint8Array(32).fill(0x31));
/** Evidence of realistic size: it holds a PEM chain, which careless readers take for the certificate itself. */
const attest = async (data: Uint8Array) => encodeVersioned(strip(mockEvidence(PKI, data)));

const spkiOf = (pem: string) =>
  new Uint8Array(new X509Certificate(pem).publicKey.export({ format: 'der', type: 'spki' }));

async function evidenceData(pem: string): Promise<Uint8Array> {
  return decodeVersioned(readExtension(pem, OID.attestation) ?? new Uint8Array()).attestation.reportData;
}

const kmsTempCa = async () => {
  const key = freshTlsKey();
  const request = { commonName: 'Dstack Client Temp CA', organization: 'Dstack', ca: { pathLength: 0 } };
  return { certificate: await issueCertificate(request, key), key };
};

describe('the temporary client certificate', () => {
  it('is a bare leaf with evidence over its own key', async () => {
    const ca = await kmsTempCa();
    const made = await tempCertificate({ certificate: ca.certificate, key: privateKeyPem(ca.key) }, attest);
    const parsed = new X509Certificate(made.certificate);
    expect(parsed.subject).toBe('CN=RA-TLS TEMP Cert');
    expect(parsed.issuer).toBe('O=Dstack\nCN=Dstack Client Temp CA');
    expect(parsed.subjectAltName).toBeUndefined();
    expect(parsed.keyUsage).toBeUndefined(); // no extended key usage
    expect(readExtension(made.certificate, OID.usage)).toBeUndefined();
    expect(readExtension(made.certificate, OID.appId)).toBeUndefined();
    expect(await evidenceData(made.certificate)).toEqual(certReportData(spkiOf(made.certificate)));
    expect(made.key).toContain('BEGIN PRIVATE KEY');
  });

  it('has a new key each time', async () => {
    const ca = await kmsTempCa();
    const pem = { certificate: ca.certificate, key: privateKeyPem(ca.key) };
    expect((await tempCertificate(pem)).key).not.toBe((await tempCertificate(pem)).key);
  });

  it('is not made with a CA key that does not match, or none at all', async () => {
    const [ca, other] = [await kmsTempCa(), await kmsTempCa()];
    const mixed = tempCertificate({ certificate: ca.certificate, key: privateKeyPem(other.key) }, attest);
    await expect(mixed).rejects.toThrow('CA certificate does not match private key');
    const bad: [string, string, string][] = [
      ['KEY_INVALID', ca.certificate, 'a text that is long enough but holds no key whatsoever'],
      ['KEY_INVALID', ca.certificate, privateKeyPem(ca.key).replace('MIGH', 'MIGX')],
      ['CERT_INVALID', 'no certificate', privateKeyPem(ca.key)],
    ];
    for (const [code, certificate, key] of bad) {
      const error = (await tempCertificate({ certificate, key }, attest).catch((e: unknown) => e)) as DstackError;
      expect(error).toBeInstanceOf(DstackError);
      expect(error.code).toBe(code);
      expect(JSON.stringify(error)).not.toContain(key.slice(30, 60));
    }
  });

  it('is not made without its evidence', async () => {
    const ca = await kmsTempCa();
    const failing = tempCertificate({ certificate: ca.certificate, key: privateKeyPem(ca.key) }, async () => {
      throw new DstackError('QUOTE_TIMEOUT', 'no quote');
    });
    await expect(failing).rejects.toMatchObject({ code: 'QUOTE_TIMEOUT' });
  });
});

describe('a generated CA', () => {
  it('carries evidence under the tag of a KMS root', async () => {
    const { certificate } = await generateCa(1, attest);
    expect(new X509Certificate(certificate).subject).toBe('CN=App Root CA');
    expect(await evidenceData(certificate)).toEqual(reportData('sha512', 'kms-root-ca', spkiOf(certificate)));
  });

  it('takes path lengths from 0 to 7', () => {
    expect(['0', '1', '7'].map(parseCaLevel)).toEqual([0, 1, 7]);
    for (const text of ['8', '-1', '', '1.5', 'one', '01']) {
      expect(failure(() => parseCaLevel(text)).code, text).toBe('INPUT_INVALID');
    }
  });
});

describe('generated app keys', () => {
  it('are of provider none, with evidence over the app key, or without', async () => {
    const keys = await generateAppKeys(1, attest);
    expect(keys.keyProvider.kind).toBe('none');
    expect(await evidenceData(keys.caCert)).toEqual(certReportData(spkiOf(keys.caCert)));
    const plain = await generateAppKeys(2);
    expect(readExtension(plain.caCert, OID.attestation)).toBeUndefined();
    expect(plain.k256Key).not.toEqual(keys.k256Key);
  });
});

describe.runIf(hasOpenssl)('openssl accepts', () => {
  it('the chain of an app with its own CA', async () => {
    const keys = await generateAppKeys(1, attest);
    const key = freshTlsKey();
    const [leaf, ca] = await signLeaf(keys, key, {
      commonName: 'app.example',
      altNames: ['app.example', '2001:db8::1'],
      serverAuth: true,
      clientAuth: true,
      appInfo: new Uint8Array(200),
      attestation: await attest(certReportData(key.spkiDer)),
    });
    for (const purpose of ['sslserver', 'sslclient']) {
      const args = ['-purpose', purpose, '-verify_hostname', 'app.example'];
      expect(opensslVerify([leaf!], { root: ca!, args })).toBe('OK');
    }
    expect(opensslVerify([leaf!], { root: ca!, args: ['-verify_ip', '2001:db8::1'] })).toBe('OK');
    expect(opensslVerify([leaf!], { root: ca!, args: ['-verify_hostname', 'x.example'] })).toContain('mismatch');
  });

  it('the chain of an app with a KMS, up to the root', async () => {
    const [rootKey, appKey, leafKey] = [freshTlsKey(), freshTlsKey(), freshTlsKey()];
    const name = { organization: 'Dstack' };
    const root = await issueCertificate({ ...name, commonName: 'Dstack KMS CA', ca: { pathLength: 1 } }, rootKey);
    const app = await issueCertificate(
      { ...name, commonName: 'Dstack App CA', ca: { pathLength: 0 }, appId: new Uint8Array(20), usage: 'app:ca' },
      appKey,
      { certificate: root, key: rootKey },
    );
    const leaf = await issueCertificate(
      { commonName: 'x', usage: 'app:custom', appId: new Uint8Array(20), clientAuth: true },
      leafKey,
      { certificate: app, key: appKey },
    );
    expect(opensslVerify([leaf, app], { root, args: ['-purpose', 'sslclient'] })).toBe('OK');
    expect(opensslVerify([leaf], { root })).toContain('unable to get local issuer certificate');
    // one CA more than the root allows
    const [deepKey, lastKey] = [freshTlsKey(), freshTlsKey()];
    const issuer = { certificate: app, key: appKey };
    const deep = await issueCertificate({ commonName: 'deep', ca: { pathLength: 0 } }, deepKey, issuer);
    const last = await issueCertificate({ commonName: 'y' }, lastKey, { certificate: deep, key: deepKey });
    expect(opensslVerify([last, deep, app], { root })).toContain('path length constraint exceeded');
  });

  it('the temporary certificate and the generated CA', async () => {
    const ca = await generateCa(2, attest);
    expect(opensslVerify([ca.certificate], { root: ca.certificate })).toBe('OK');
    expect(certificateText(ca.certificate)).toContain('CA:TRUE, pathlen:2');
    const { certificate } = await tempCertificate(ca, attest);
    expect(opensslVerify([certificate], { root: ca.certificate })).toBe('OK');
    expect(certificateText(certificate)).toContain('1.3.6.1.4.1.62397.1.8');
  });
});

import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError, errorChain } from '../../src/errors.ts';
import { localCaCert, signLeaf } from '../../src/keys/ca-cert.ts';
import { keysFromSeed } from '../../src/keys/seed-keys.ts';
import { freshTlsKey } from '../../src/keys/tls-key.ts';
import { octets as octetString } from '../../src/x509/der-write.ts';
import { dstackExtension, readExtension, readOctetString } from '../../src/x509/extensions.ts';
import { issueCertificate } from '../../src/x509/issue.ts';
import { OID } from '../../src/x509/oids.ts';
import { fromPem } from '../../src/x509/pem.ts';
import { failure } from '../failure.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

const seedKeys = keysFromSeed(new Uint8Array(32).fill(0x42), { kind: 'none' });
const attestation = Uint8Array.from({ length: 300 }, (_, i) => i % 256);
let keys: { caCert: string; keyProvider: typeof seedKeys.keyProvider };
let dir: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'dstack-cert-'));
  keys = { ...seedKeys, caCert: await localCaCert({ appKey: seedKeys.appKey, attestation }) };
});
afterAll(() => rmSync(dir, { recursive: true }));

const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version']);
    return true;
  } catch {
    return false;
  }
})();

function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** OIDs of the extensions in the order of the certificate. */
async function extensionOrder(pem: string): Promise<string[]> {
  const { loadX509 } = await import('../x509.ts');
  const { X509Certificate: Parsed } = await loadX509();
  return new Parsed(pem).extensions.map(({ type, critical }) => `${type}${critical ? '!' : ''}`);
}

const SAN = '2.5.29.17';
const KEY_USAGE = '2.5.29.15!';
const EKU = '2.5.29.37';
const SKI = '2.5.29.14';
const BASIC = '2.5.29.19!';

describe('the local CA certificate', () => {
  it('is a self-signed root of path length 1 with the evidence in it', async () => {
    const parsed = new X509Certificate(keys.caCert);
    expect(parsed.ca).toBe(true);
    expect(parsed.subject).toBe('CN=App Root Cert');
    expect(parsed.issuer).toBe('CN=App Root Cert');
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.publicKey.export({ format: 'der', type: 'spki' })).toEqual(Buffer.from(seedKeys.appKey.spkiDer));
    expect(await extensionOrder(keys.caCert)).toEqual([KEY_USAGE, SKI, BASIC, OID.attestation]);
    expect(readExtension(keys.caCert, OID.attestation)).toEqual(attestation);
    expect(readExtension(keys.caCert, OID.usage)).toBeUndefined();
  });

  it('has the validity of ten years and 1975', () => {
    const parsed = new X509Certificate(keys.caCert);
    expect(new Date(parsed.validFrom).toISOString()).toBe('1975-01-01T00:00:00.000Z');
    const days = (new Date(parsed.validTo).getTime() - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(3649);
    expect(days).toBeLessThanOrEqual(3650);
  });
});

describe('a leaf', () => {
  it('carries what was asked for, in the fixed order', async () => {
    const [leaf, ca] = await signLeaf(keys, freshTlsKey(), {
      commonName: 'app.example',
      altNames: ['app.example', '10.0.0.1', '2001:db8::1', '*.app.example'],
      serverAuth: true,
      clientAuth: true,
      appInfo: Uint8Array.from([0x99]),
      attestation,
      notBefore: 1_700_000_000,
      notAfter: 2_600_000_000, // beyond 2050: GeneralizedTime
    });
    expect(ca).toBe(keys.caCert);
    const parsed = new X509Certificate(leaf!);
    expect(parsed.verify(new X509Certificate(ca!).publicKey)).toBe(true);
    expect(parsed.checkIssued(new X509Certificate(ca!))).toBe(true);
    expect(parsed.subjectAltName).toBe(
      'DNS:app.example, IP Address:10.0.0.1, IP Address:2001:DB8:0:0:0:0:0:1, DNS:*.app.example',
    );
    expect(parsed.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
    expect(new Date(parsed.validFrom).getTime() / 1000).toBe(1_700_000_000);
    expect(new Date(parsed.validTo).getTime() / 1000).toBe(2_600_000_000);
    expect(await extensionOrder(leaf!)).toEqual([SAN, KEY_USAGE, EKU, OID.appInfo, OID.usage, OID.attestation]);
    expect(new TextDecoder().decode(readExtension(leaf!, OID.usage))).toBe('app:custom');
    expect(readExtension(fromPem(leaf!, 'CERTIFICATE'), OID.attestation)).toEqual(attestation);
  });

  it.each([
    ['::ffff:1.2.3.4', 'IP Address:0:0:0:0:0:FFFF:102:304'],
    ['64:ff9b::192.0.2.33', 'IP Address:64:FF9B:0:0:0:0:C000:221'],
    ['::', 'IP Address:0:0:0:0:0:0:0:0'],
    ['01.2.3.4', 'DNS:01.2.3.4'],
    ['fe80::1%eth0', 'DNS:fe80::1%eth0'],
    ['1.2.3', 'DNS:1.2.3'],
  ])('alternative name %s', async (name, shown) => {
    const pem = await issueCertificate({ commonName: 'x', altNames: [name] }, freshTlsKey());
    expect(new X509Certificate(pem).subjectAltName).toBe(shown);
  });

  it('has nothing that was not asked for', async () => {
    const [leaf] = await signLeaf(keys, freshTlsKey(), { commonName: 'x' });
    expect(await extensionOrder(leaf!)).toEqual([KEY_USAGE, OID.usage]);
    expect(new X509Certificate(leaf!).ca).toBe(false);
  });

  it('writes names as UTF8String, organization first', async () => {
    const key = freshTlsKey();
    const pem = await issueCertificate({ commonName: 'Zoë', organization: 'Dstack', ca: { pathLength: 0 } }, key);
    const hex = toHex(fromPem(pem, 'CERTIFICATE'));
    expect(hex).toContain(`06035504030c04${Buffer.from('Zoë').toString('hex')}`);
    expect(hex.indexOf(`060355040a0c06${Buffer.from('Dstack').toString('hex')}`)).toBeGreaterThan(0);
    expect(hex.indexOf('060355040a')).toBeLessThan(hex.indexOf('0603550403'));
  });

  it('copies the name of its issuer byte for byte', async () => {
    const root = freshTlsKey();
    const certificate = await issueCertificate({ commonName: 'Röot', organization: 'O', ca: { pathLength: 0 } }, root);
    const pem = await issueCertificate({ commonName: 'x' }, freshTlsKey(), { certificate, key: root });
    expect(new X509Certificate(pem).checkIssued(new X509Certificate(certificate))).toBe(true);
  });

  it('keeps the CA of an app, and never that of another', async () => {
    const others = keysFromSeed(new Uint8Array(32).fill(77), { kind: 'none' });
    const other = { ...others, caCert: await localCaCert({ appKey: others.appKey }) };
    for (const app of [keys, other, keys, other]) {
      const [leaf, ca] = await signLeaf(app, freshTlsKey(), { commonName: 'x' });
      expect(new X509Certificate(leaf!).verify(new X509Certificate(ca!).publicKey)).toBe(true);
      expect(ca).toBe(app.caCert);
    }
    const mixed = { ...keys, caCert: other.caCert };
    for (let round = 0; round < 2; round++)
      await expect(signLeaf(mixed, freshTlsKey(), { commonName: 'x' })).rejects.toMatchObject({ code: 'CERT_INVALID' });
  });

  it('refuses what cannot be in a certificate', async () => {
    const leafKey = freshTlsKey();
    const bad = [{ altNames: ['bücher.example'] }, { notAfter: -1 }, { notAfter: 1e15 }, { notBefore: 0.5 }];
    for (const request of bad) {
      await expect(signLeaf(keys, leafKey, { commonName: 'x', ...request })).rejects.toMatchObject({
        code: 'CERT_INVALID',
      });
    }
    const issuer = { certificate: keys.caCert, key: freshTlsKey() };
    await expect(issueCertificate({ commonName: 'x' }, leafKey, issuer)).rejects.toThrow(
      'CA certificate does not match private key',
    );
    await expect(
      issueCertificate({ commonName: 'x' }, leafKey, { ...issuer, certificate: 'no certificate' }),
    ).rejects.toMatchObject({ code: 'CERT_INVALID' });
    const kms = { kind: 'kms', url: '', pubkey: new Uint8Array(), tmpCaKey: '', tmpCaCert: '' } as const;
    await expect(signLeaf({ caCert: '', keyProvider: kms }, leafKey, { commonName: 'x' })).rejects.toMatchObject({
      code: 'KEY_PROVIDER_UNSUPPORTED',
    });
  });

  it.runIf(hasOpenssl)('is accepted by openssl up to the root', async () => {
    const [leaf, ca] = await signLeaf(keys, freshTlsKey(), {
      commonName: 'app.example',
      altNames: ['app.example', '::1'],
      serverAuth: true,
      attestation,
    });
    writeFileSync(join(dir, 'leaf.pem'), leaf!);
    writeFileSync(join(dir, 'ca.pem'), ca!);
    expect(openssl('verify', '-purpose', 'sslserver', '-CAfile', 'ca.pem', 'leaf.pem')).toContain('OK');
    const text = openssl('x509', '-in', 'leaf.pem', '-noout', '-text');
    expect(text).toContain('ecdsa-with-SHA256');
    expect(text).toContain('TLS Web Server Authentication');
    expect(text).toContain('IP Address:0:0:0:0:0:0:0:1');
    expect(openssl('x509', '-in', 'ca.pem', '-noout', '-text')).toContain('CA:TRUE, pathlen:1');
  });
});

describe('extensions', () => {
  it('are wrapped twice', () => {
    for (const { extension_der_hex } of vectors.x509_extension_wrapping) {
      expect(toHex(dstackExtension(OID.usage, Buffer.from('app:custom')))).toBe(extension_der_hex);
    }
  });

  it('have the OIDs of the interface', () => {
    const der = (oid: string) => {
      const [a, b, ...rest] = oid.split('.').map(Number);
      const bytes = [a! * 40 + b!, ...rest.flatMap(base128)];
      return toHex(Uint8Array.from([6, bytes.length, ...bytes]));
    };
    const known = new Map(vectors.x509_oids.map(({ name, der_hex }) => [name, der_hex]));
    expect(der(OID.legacyQuote)).toBe(known.get('tdx quote (legacy)'));
    expect(der(OID.appId)).toBe(known.get('app id'));
    expect(der(OID.usage)).toBe(known.get('cert usage'));
    expect(der(OID.appInfo)).toBe(known.get('app info'));
  });

  it('round trip, and damaged wrapping is refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (payload) => {
        const der = octetString(payload);
        expect(readOctetString(der)).toEqual(payload);
        expect(() => readOctetString(der.subarray(0, -1))).toThrow(DstackError);
        expect(() => readOctetString(Uint8Array.from([...der, 0]))).toThrow(DstackError);
      }),
    );
    expect(readOctetString(octetString(new Uint8Array(70_000)))).toHaveLength(70_000);
  });

  it('never read anything but a DstackError out of noise', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (noise) => {
        try {
          readOctetString(noise);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });

  it('are refused when they occur twice, or the certificate is damaged', async () => {
    const { loadX509 } = await import('../x509.ts');
    const { X509CertificateGenerator, Extension } = await loadX509();
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify']);
    const twice = [1, 2].map(() => new Extension(OID.usage, false, new Uint8Array(octetString(Buffer.from('x')))));
    const made = await X509CertificateGenerator.createSelfSigned({ keys: pair, name: 'CN=x', extensions: twice });
    expect(errorChain(failure(() => readExtension(made.toString('pem'), OID.usage)))).toContain('occurs twice');
    expect(failure(() => readExtension(new Uint8Array([1, 2, 3]), OID.usage)).code).toBe('CERT_INVALID');
  });
});

function base128(value: number): number[] {
  const out = [value & 0x7f];
  for (let rest = value >> 7; rest > 0; rest >>= 7) out.unshift((rest & 0x7f) | 0x80);
  return out;
}

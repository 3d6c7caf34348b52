import { webcrypto } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { DstackError } from '../../src/errors.ts';
import type { P256Key } from '../../src/keys/derive.ts';
import { freshTlsKey } from '../../src/keys/tls-key.ts';
import { type Certificate, parseCertificate, parsePemCertificate } from '../../src/x509/certificate.ts';
import { type ChainRules, checkChain } from '../../src/x509/chain.ts';
import { octets } from '../../src/x509/der-write.ts';
import { readExtension } from '../../src/x509/extensions.ts';
import { type CertificateRequest, issueCertificate } from '../../src/x509/issue.ts';
import { OID } from '../../src/x509/oids.ts';
import { fromPem } from '../../src/x509/pem.ts';
import { evidenceFor } from '../net/ra-tls-server.ts';
import { loadX509, type X509 } from '../x509.ts';

interface Ca {
  readonly key: P256Key;
  readonly certificate: string;
}

const NOW = Date.parse('2030-06-01T00:00:00Z');
const SECONDS = NOW / 1000;
const VALID = { notBefore: SECONDS - 1000, notAfter: SECONDS + 1000 };

const der = (pem: string) => fromPem(pem, 'CERTIFICATE');
async function ca(
  commonName: string,
  pathLength = 1,
  issuer?: Ca,
  more: Partial<CertificateRequest> = {},
): Promise<Ca> {
  const key = freshTlsKey();
  const request = { commonName, ca: { pathLength }, ...VALID, ...more };
  return { key, certificate: await issueCertificate(request, key, issuer) };
}
const leaf = (issuer: Ca, more: Partial<CertificateRequest> = {}) =>
  issueCertificate({ commonName: 'leaf', altNames: ['kms.example'], ...VALID, ...more }, freshTlsKey(), issuer);

let root: Ca;
beforeAll(async () => {
  root = await ca('Root');
});

/** As peers are checked: whatever is read or judged wrong is one error. */
const check = async (chain: readonly string[], { root: other, ...more }: Loose = {}): Promise<readonly Certificate[]> =>
  checkBytes(chain.map(der), { root: other ?? root.certificate, ...more });

type Loose = Partial<Omit<ChainRules, 'root'>> & { root?: string };

async function checkBytes(chain: readonly Uint8Array[], { root: pem, ...more }: Loose & { root: string }) {
  const rules = { root: parsePemCertificate(pem, 'the trusted root'), purpose: 'server', at: NOW, ...more } as const;
  return checkChain(chain.map(parseCertificate), rules);
}

async function code(work: Promise<unknown>): Promise<string> {
  const thrown = await work.then(
    () => 'accepted',
    (error: unknown) => error,
  );
  if (typeof thrown === 'string') return thrown;
  expect(thrown).toBeInstanceOf(DstackError);
  return (thrown as DstackError).code;
}

/** A leaf of the root with extensions that the certificate code would never write. */
async function odd(make: (x509: X509) => InstanceType<X509['Extension']>[]): Promise<string> {
  const x509 = await loadX509();
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const signingKey = await webcrypto.subtle.importKey('pkcs8', new Uint8Array(root.key.pkcs8Der), algorithm, false, [
    'sign',
  ]);
  const made = await x509.X509CertificateGenerator.create({
    subject: 'CN=odd',
    issuer: new x509.X509Certificate(root.certificate).subjectName,
    notBefore: new Date(NOW - 1000),
    notAfter: new Date(NOW + 1000),
    publicKey: new Uint8Array(freshTlsKey().spkiDer),
    signingKey,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: make(x509),
  });
  return made.toString('pem');
}

describe('a chain is accepted', () => {
  it('from the leaf to the root, directly or over CAs in any order, with the root or without', async () => {
    const [plain, key] = [await leaf(root), await leaf(root, { serverAuth: true })];
    expect(await code(check([plain]))).toBe('accepted');
    expect(await code(check([key, root.certificate]))).toBe('accepted');
    const wide = await ca('Wide', 3);
    const a = await ca('A', 2, wide);
    const c = await ca('C', 0, a);
    const end = await leaf(c);
    for (const chain of [
      [end, c.certificate, a.certificate],
      [end, a.certificate, wide.certificate, c.certificate],
    ]) {
      expect(await code(check(chain, { root: wide.certificate }))).toBe('accepted');
    }
  });

  it('and gives key and extensions of the leaf, not of what is inside its evidence', async () => {
    const key = freshTlsKey();
    const pki = mockPki(new Uint8Array(32).fill(1));
    const request = { commonName: 'leaf', usage: 'kms:rpc', attestation: evidenceFor(pki, key), ...VALID };
    const [trusted] = await check([await issueCertificate(request, key, root)]);
    expect(trusted!.spki).toEqual(key.spkiDer);
    expect(Buffer.from(readExtension(trusted!, OID.usage)!).toString()).toBe('kms:rpc');
    expect(readExtension(trusted!, OID.appId)).toBeUndefined();
  });

  it('for the names it has', async () => {
    const names = ['kms.example', '*.apps.example', 'part*.example', '10.0.0.1', '2001:db8::1', '::ffff:1.2.3.4'];
    const pem = await leaf(root, { altNames: names });
    for (const hostName of [
      'kms.example',
      'KMS.example',
      'a.apps.example',
      '10.0.0.1',
      '2001:db8:0::1',
      '::ffff:1.2.3.4',
    ]) {
      expect(await code(check([pem], { hostName })), hostName).toBe('accepted');
    }
    for (const hostName of [
      'x.example',
      'partial.example',
      'apps.example',
      'a.b.apps.example',
      '10.0.0.2',
      '2001:db8::2',
      'leaf',
      '',
    ]) {
      expect(await code(check([pem], { hostName })), hostName).toBe('CERT_NAME_MISMATCH');
    }
  });
});

describe('a chain is refused', () => {
  it('without certificates, or with too many', async () => {
    const pem = await leaf(root);
    expect(await code(check([]))).toBe('CERT_UNTRUSTED');
    expect(await code(check(new Array(9).fill(pem)))).toBe('CERT_UNTRUSTED');
  });

  it('of another root, even one with the same name', async () => {
    const twin = await ca('Root');
    expect(await code(check([await leaf(twin), twin.certificate]))).toBe('CERT_UNTRUSTED');
  });

  it('over something that is no CA, or a CA with too short a path', async () => {
    const key = freshTlsKey();
    const notCa = { key, certificate: await issueCertificate({ commonName: 'Not', ...VALID }, key, root) };
    expect(await code(check([await leaf(notCa), notCa.certificate]))).toBe('CERT_UNTRUSTED');
    const [first, narrow] = [await ca('First', 5, root), await ca('Narrow', 0)];
    const second = await ca('Second', 5, first);
    expect(await code(check([await leaf(second), second.certificate, first.certificate]))).toBe('CERT_UNTRUSTED');
    const below = await ca('Below', 0, narrow);
    const chain = [await leaf(below), below.certificate];
    expect(await code(check(chain, { root: narrow.certificate }))).toBe('CERT_UNTRUSTED');
  });

  it('when its leaf is a CA', async () => {
    expect(await code(check([(await ca('Sub', 0, root)).certificate]))).toBe('CERT_INVALID');
    expect(await code(check([root.certificate]))).toBe('CERT_INVALID');
  });

  it.each(['leaf', 'intermediate', 'root'])('when its %s is out of its time', async (which) => {
    const times = [
      ['CERT_EXPIRED', { notAfter: SECONDS - 1 }],
      ['CERT_NOT_YET_VALID', { notBefore: SECONDS + 1 }],
    ] as const;
    for (const [wanted, more] of times) {
      const top = await ca('Top', 1, undefined, which === 'root' ? more : {});
      const middle = await ca('Middle', 0, top, which === 'intermediate' ? more : {});
      const end = await leaf(middle, which === 'leaf' ? more : {});
      expect(await code(check([end, middle.certificate], { root: top.certificate }))).toBe(wanted);
    }
  });

  it('for another use than its own', async () => {
    const [server, client, both] = [
      await leaf(root, { serverAuth: true }),
      await leaf(root, { clientAuth: true }),
      await leaf(root, { serverAuth: true, clientAuth: true }),
    ];
    expect(await code(check([client]))).toBe('CERT_USAGE_WRONG');
    expect(await code(check([server], { purpose: 'client' }))).toBe('CERT_USAGE_WRONG');
    expect(await code(check([both]))).toBe('accepted');
    expect(await code(check([both], { purpose: 'client' }))).toBe('accepted');
  });

  it('with an extension twice, an unknown critical one, or one that is wrapped once only', async () => {
    const usage = (x509: X509) => new x509.Extension(OID.usage, false, new Uint8Array(octets(Buffer.from('kms:rpc'))));
    expect(await code(check([await odd((x509) => [usage(x509), usage(x509)])]))).toBe('CERT_INVALID');
    const critical = (x509: X509) => [new x509.Extension('1.2.3.4', true, new Uint8Array([5, 0]))];
    expect(await code(check([await odd(critical)]))).toBe('CERT_INVALID');
    const [once] = await check([
      await odd((x509) => [new x509.Extension(OID.usage, false, new Uint8Array(Buffer.from('kms:rpc')))]),
    ]);
    expect(() => readExtension(once!, OID.usage)).toThrow('does not hold one DER OCTET STRING');
  });

  it('against anything but one CA certificate as its root', async () => {
    const pem = await leaf(root);
    const bad = ['', 'no certificate', root.certificate + root.certificate, pem];
    for (const text of bad) expect(await code(check([pem], { root: text }))).toBe('CERT_INVALID');
    const damaged = root.certificate.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
    expect(await code(check([pem], { root: damaged }))).toBe('CERT_INVALID');
  });

  it('when bytes follow a certificate, or any byte is changed', async () => {
    const bytes = der(await leaf(root));
    const rules = { root: root.certificate };
    expect(await code(checkBytes([Uint8Array.from([...bytes, 0])], rules))).toBe('CERT_INVALID');
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
        const result = await code(checkBytes([bytes.with(at, bytes[at]! ^ mask)], rules));
        expect(result).not.toBe('accepted');
      }),
      { numRuns: 150 },
    );
  });

  it('never with anything but a DstackError', async () => {
    const noise = fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(noise, async (chain) => {
        const result = await code(checkBytes(chain, { root: root.certificate }));
        expect(['CERT_INVALID', 'CERT_UNTRUSTED']).toContain(result);
      }),
    );
  });
});

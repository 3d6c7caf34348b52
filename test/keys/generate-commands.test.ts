/** gen-ra-cert, gen-ca-cert and gen-app-keys through the real main; the evidence comes from a mock quoting enclave. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { parseAppKeys } from '../../src/config/app-keys.ts';
import { DstackError } from '../../src/errors.ts';
import { generateCa } from '../../src/keys/generate.ts';
import { decodeVersioned, encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { OID, readExtension } from '../../src/x509/x509.ts';
import { mockEvidence } from '../net/ra-tls-server.ts';
import { run } from '../run-main.ts';

const PKI = mockPki(new Uint8Array(32).fill(0x31));
let tee = true;
vi.mock('../../src/tdx/take-evidence.ts', () => ({
  certificateEvidence: async (data: Uint8Array) => {
    if (!tee) throw new DstackError('TEE_NOT_FOUND', 'no TEE');
    return encodeVersioned(strip(mockEvidence(PKI, data)));
  },
}));

let dir: string;
beforeEach(() => {
  tee = true;
  dir = mkdtempSync(join(tmpdir(), 'dstack-gen-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const path = (name: string) => join(dir, name);
const mode = (name: string) => (statSync(path(name)).mode & 0o777).toString(8);
const text = (name: string) => readFileSync(path(name), 'utf8');

/** The certificate belongs to the key, and its evidence is there. */
async function checkPair(cert: string, key: string): Promise<X509Certificate> {
  const parsed = new X509Certificate(text(cert));
  expect(parsed.checkPrivateKey(createPrivateKey(text(key)))).toBe(true);
  expect(mode(key)).toBe('600');
  expect(decodeVersioned(readExtension(text(cert), OID.attestation)!).attestation.platform.kind).toBe('tdx');
  return parsed;
}

describe('gen-ca-cert', () => {
  it('writes a CA and its key, over older files with any mode', async () => {
    writeFileSync(path('key.pem'), 'old', { mode: 0o666 });
    const { exit } = await run('gen-ca-cert', '--cert', path('cert.pem'), '--key', path('key.pem'), '--ca-level', '2');
    expect(exit).toBe(0);
    expect((await checkPair('cert.pem', 'key.pem')).subject).toBe('CN=App Root CA');
    expect(mode('cert.pem')).toBe('644');
    expect(readdirSync(dir).sort()).toEqual(['cert.pem', 'key.pem']);
  });

  it('writes nothing without a TEE, or with a bad level', async () => {
    tee = false;
    const args = ['gen-ca-cert', '--cert', path('cert.pem'), '--key', path('key.pem')];
    expect((await run(...args)).stderr).toContain('TEE_NOT_FOUND');
    const { exit, stderr } = await run(...args, '--ca-level', '99');
    expect(exit).toBe(2);
    expect(stderr).toContain('--ca-level');
    expect(readdirSync(dir)).toEqual([]);
  });

  it('wants two files', async () => {
    const { exit, stderr } = await run('gen-ca-cert', '--cert', path('x'), '--key', path('./x'));
    expect(exit).toBe(2);
    expect(stderr).toContain('need two files');
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('gen-ra-cert', () => {
  const args = () => [
    'gen-ra-cert',
    '--ca-cert',
    path('ca.pem'),
    '--ca-key',
    path('ca.key'),
    '-c',
    path('c'),
    '-k',
    path('k'),
  ];

  it('signs a temporary certificate with the CA', async () => {
    const ca = await generateCa(1, async () => new Uint8Array(1));
    writeFileSync(path('ca.pem'), ca.certificate);
    writeFileSync(path('ca.key'), ca.key, { mode: 0o600 });
    expect((await run(...args())).exit).toBe(0);
    const parsed = await checkPair('c', 'k');
    expect(parsed.subject).toBe('CN=RA-TLS TEMP Cert');
    expect(parsed.verify(new X509Certificate(ca.certificate).publicKey)).toBe(true);
  });

  it('names what is missing, and never shows a key', async () => {
    expect((await run(...args())).stderr).toContain('FILE_NOT_FOUND');
    const [ca, other] = [
      await generateCa(1, async () => new Uint8Array(1)),
      await generateCa(1, async () => new Uint8Array(1)),
    ];
    writeFileSync(path('ca.pem'), ca.certificate);
    writeFileSync(path('ca.key'), other.key);
    const { stdout, stderr, exit } = await run(...args());
    expect(exit).toBe(1);
    expect(stderr).toContain('CA certificate does not match private key');
    for (const line of other.key.split('\n').slice(1, 3)) expect(stdout + stderr).not.toContain(line);
    expect(readdirSync(dir).sort()).toEqual(['ca.key', 'ca.pem']);
  });
});

describe('gen-app-keys', () => {
  it('writes a key file that the agent reads', async () => {
    expect((await run('gen-app-keys', '-o', path('keys.json'))).exit).toBe(0);
    expect(mode('keys.json')).toBe('600');
    expect(text('keys.json')).not.toContain('\n  "'); // compact
    const keys = parseAppKeys(readFileSync(path('keys.json')), 'keys.json');
    expect(keys.keyProvider.kind).toBe('none');
    expect(readExtension(keys.caCert, OID.attestation)).toBeDefined();
  });

  it('works outside of a TEE only when told to', async () => {
    tee = false;
    expect((await run('gen-app-keys', '-o', path('keys.json'))).stderr).toContain('TEE_NOT_FOUND');
    expect(readdirSync(dir)).toEqual([]);
    expect((await run('gen-app-keys', '-o', path('keys.json'), '--no-evidence')).exit).toBe(0);
    const keys = parseAppKeys(readFileSync(path('keys.json')), 'keys.json');
    expect(readExtension(keys.caCert, OID.attestation)).toBeUndefined();
  });
});

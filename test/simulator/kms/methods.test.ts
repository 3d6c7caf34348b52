/** The service as a client with nothing but TLS and HTTP sees it. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueKeys } from '../../../simulator/kms/derive.ts';
import { freshRoots, type KmsRoots } from '../../../simulator/kms/roots.ts';
import type { Kms } from '../../../simulator/kms/server.ts';
import { fromHex, toHex } from '../../../src/codec/hex.ts';
import { encodeCsr, signCsr } from '../../../src/keys/csr.ts';
import { certReportData } from '../../../src/keys/report-data.ts';
import { compressedPublicKey, keccak256, recoverPublicKey } from '../../../src/keys/secp256k1.ts';
import { type ClientCertificate, tempCertificate } from '../../../src/keys/temp-cert.ts';
import { freshTlsKey } from '../../../src/keys/tls-key.ts';
import { decodeAppInfoExtension } from '../../../src/tdx/app-info-extension.ts';
import { type Attestation, encodeVersioned, strip, tdxQuote } from '../../../src/tdx/attestation.ts';
import { OID, readExtension } from '../../../src/x509/x509.ts';
import { guest, startKms, temporaryFolder, VM_CONFIG } from './guest.ts';

const app = guest();
const other = guest({ name: 'other' });
const folder = temporaryFolder();
let roots: KmsRoots;
let kms: Kms;
beforeAll(async () => {
  roots = await freshRoots();
  kms = await startKms({
    roots,
    policy: { apps: new Set([app.appId]), composeHashes: new Set() },
    gatewayAppId: 'any',
  });
});
afterAll(async () => {
  await kms.close();
  folder.remove();
});

interface Answer {
  readonly status: number;
  readonly body: Record<string, string & string[]>;
}

function call(method: string, body: unknown, client?: ClientCertificate): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { port } = kms;
    const identity = client === undefined ? {} : { cert: client.certificate, key: client.key };
    const options = { host: '127.0.0.1', port, method: 'POST', path: `/prpc/${method}?json`, agent: false } as const;
    const sent = request({ ...options, ...identity, rejectUnauthorized: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }));
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

const tempCa = () => ({ certificate: roots.tempCa.certificate, key: keyPem(roots.tempCa.key.pkcs8Der) });
const keyPem = (der: Uint8Array) =>
  `-----BEGIN PRIVATE KEY-----\n${Buffer.from(der).toString('base64')}\n-----END PRIVATE KEY-----\n`;
const client = (attest: (reportData: Uint8Array) => Promise<Attestation>) =>
  tempCertificate(tempCa(), async (reportData) => encodeVersioned(strip(await attest(reportData))));
const askKeys = async (attest: (reportData: Uint8Array) => Promise<Attestation>) =>
  call('GetAppKey', { api_version: 1, vm_config: VM_CONFIG }, await client(attest));

describe('what everybody may ask', () => {
  it('says who it is', async () => {
    const meta = await call('GetMeta', {});
    expect(meta.body).toMatchObject({ ca_cert: roots.ca.certificate, is_dev: true, gateway_app_id: 'any' });
    expect(meta.body['k256_pubkey']).toBe(toHex(compressedPublicKey(roots.k256)));
    expect((await call('KMS.GetTempCaCert', {})).body).toMatchObject({
      temp_ca_cert: roots.tempCa.certificate,
      ca_cert: roots.ca.certificate,
    });
  });

  it('gives out the key to encrypt an environment for', async () => {
    const { body } = await call('GetAppEnvEncryptPubKey', { app_id: `0x${app.appId}` });
    const message = Buffer.concat([
      Buffer.from('dstack-env-encrypt-pubkey:'),
      fromHex(app.appId),
      fromHex(body['public_key'] ?? ''),
    ]);
    const signer = recoverPublicKey(fromHex(body['signature'] ?? ''), keccak256(message));
    expect(toHex(signer)).toBe(toHex(compressedPublicKey(roots.k256)));
    expect((await call('GetAppEnvEncryptPubKey', { app_id: '0011' })).body['error']).toContain(
      'expected 20 bytes, got 2',
    );
  });
});

describe('keys', () => {
  it.each([1, 2] as const)('are given for evidence that verifies (events of version %i)', async (version) => {
    const asking = guest({}, { version });
    const { status, body } = await askKeys(asking.attest);
    expect([status, body['error']]).toEqual([200, undefined]);
    const keys = issueKeys(roots, fromHex(app.appId), asking.instanceId);
    expect(body).toMatchObject({
      ca_cert: roots.ca.certificate,
      disk_crypt_key: toHex(keys.diskCryptKey),
      env_crypt_key: toHex(keys.envCryptKey),
      k256_key: toHex(keys.k256Key),
      gateway_app_id: 'any',
      os_image_hash: 'ab'.repeat(32),
    });
  });

  const changed =
    (change: (evidence: Attestation) => Attestation) =>
    async (reportData: Uint8Array): Promise<Attestation> =>
      change(await app.attest(reportData));
  const lie = (evidence: Attestation): Attestation => ({
    ...evidence,
    runtimeEvents: evidence.runtimeEvents.map((event) =>
      event.event === 'app-id' ? { ...event, payload: fromHex(app.appId).reverse() } : event,
    ),
  });
  const flip = (evidence: Attestation): Attestation => {
    const quote = Uint8Array.from(tdxQuote(evidence));
    quote[300] = 1;
    return { ...evidence, platform: { kind: 'tdx', quote, eventLog: [] } };
  };

  it.each([
    ['another app', other.attest, 'is not on the list'],
    ['an event that was not measured', changed(lie), 'do not replay to RTMR3'],
    ['a quote with a changed bit', changed(flip), 'the quote does not verify'],
    ['evidence over another key', () => app.attest(new Uint8Array(64)), 'does not vouch for this key'],
    [
      'report data beside the quote',
      changed((evidence) => ({ ...evidence, reportData: new Uint8Array(64) })),
      'is not that of the quote',
    ],
  ])('are refused for %s', async (_, attest, why) => {
    const { status, body } = await askKeys(attest);
    expect(status).toBe(400);
    expect(body['error']).toContain(why);
  });

  it('are refused without a certificate, without evidence, and with one that another CA signed', async () => {
    const ask = (identity?: ClientCertificate) => call('GetAppKey', { api_version: 1 }, identity);
    expect((await ask()).body['error']).toContain('no attestation provided');
    expect((await ask(await tempCertificate(tempCa()))).body['error']).toContain('no attestation provided');
    const foreign = (await freshRoots()).tempCa;
    const stranger = await tempCertificate({ certificate: foreign.certificate, key: keyPem(foreign.key.pkcs8Der) });
    expect((await ask(stranger)).body['error']).toContain('not signed by the temporary CA');
    expect((await call('GetAppKey', { api_version: 2 })).body['error']).toContain('unsupported API version');
  });
});

describe('certificates', () => {
  const key = freshTlsKey();
  const request = async (attest = app.attest) =>
    encodeCsr({
      spkiDer: key.spkiDer,
      commonName: 'service',
      altNames: ['service.example', '10.1.2.3'],
      serverAuth: true,
      clientAuth: false,
      withQuote: true,
      withAppInfo: true,
      notAfter: 4_000_000_000,
      attestation: encodeVersioned(await attest(certReportData(key.spkiDer))),
    });
  const sign = async (csr: Uint8Array, signature = signCsr(csr, key)) => {
    const body = { api_version: 2, csr: toHex(csr), signature: toHex(signature), vm_config: VM_CONFIG };
    return call('SignCert', body, await client(app.attest));
  };

  it('are signed below the authority of the app, and openssl accepts the chain', async () => {
    const { body } = await sign(await request());
    const chain = body['certificate_chain'] as unknown as string[];
    expect(chain).toHaveLength(3);
    const [leaf = '', appCa = '', root = ''] = chain;
    expect(root).toBe(roots.ca.certificate);
    expect(new X509Certificate(leaf).subjectAltName).toBe('DNS:service.example, IP Address:10.1.2.3');
    expect(readExtension(leaf, OID.appId)).toEqual(fromHex(app.appId));
    const info = decodeAppInfoExtension(readExtension(leaf, OID.appInfo) ?? new Uint8Array());
    expect(toHex(info.composeHash)).toBe(app.composeHash);
    expect(readExtension(leaf, OID.attestation)).toBeDefined();
    const files = { leaf, appCa, root };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder.path, name), text);
    const args = ['verify', '-x509_strict', '-purpose', 'sslserver', '-CAfile', 'root', '-untrusted', 'appCa', 'leaf'];
    expect(
      execFileSync(
        'openssl',
        args.filter((arg) => arg !== '-x509_strict'),
        { cwd: folder.path, encoding: 'utf8' },
      ),
    ).toContain('leaf: OK');
  });

  it('are refused for another key, another app, and a changed request', async () => {
    const csr = await request();
    const stranger = freshTlsKey();
    expect((await sign(csr, signCsr(csr, stranger))).body['error']).toContain('not signed with its own key');
    expect((await sign(await request(other.attest))).body['error']).toContain('is not on the list');
    expect((await sign(await request(() => app.attest(new Uint8Array(64))))).body['error']).toContain('does not vouch');
    expect((await sign(csr.subarray(1))).body['error']).toContain('certificate request');
  });
});

import { X509Certificate } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { freshRoots, type KmsRoots } from '../../simulator/kms/roots.ts';
import type { Kms } from '../../simulator/kms/server.ts';
import { toHex } from '../../src/codec/hex.ts';
import type { AppKeys } from '../../src/config/app-keys.ts';
import { DstackError } from '../../src/errors.ts';
import { generateAppKeys } from '../../src/keys/generate.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { certifyKey } from '../../src/net/certify.ts';
import { requestAppKeys } from '../../src/net/kms-client.ts';
import { decodeAppInfoExtension } from '../../src/tdx/app-info-extension.ts';
import { decodeVersioned } from '../../src/tdx/attestation.ts';
import { issueCertificate, OID, readExtension } from '../../src/x509/x509.ts';
import { rejection } from '../failure.ts';
import { hasOpenssl, opensslVerify } from '../keys/openssl.ts';
import { ANY, guest, startKms, VM_CONFIG } from '../simulator/kms/guest.ts';
import { type Authority, closeServers, rpcServer } from './ra-tls-server.ts';

const app = guest();
let roots: KmsRoots;
let kms: Kms;
let keys: AppKeys;

beforeAll(async () => {
  roots = await freshRoots();
  kms = await startKms({ roots, attested: false, policy: ANY });
  const urls = [`https://127.0.0.1:${kms.port}`];
  keys = await requestAppKeys({ urls, vmConfig: VM_CONFIG, attest: app.attest });
});
afterEach(closeServers);
afterAll(() => kms.close());

const everything = {
  commonName: 'app.example',
  altNames: ['app.example', '10.0.0.1'],
  serverAuth: true,
  clientAuth: true,
  withQuote: true,
  withAppInfo: true,
  notBefore: 1_700_000_000,
  notAfter: 2_000_000_000,
};

describe('a certificate signed by the KMS', () => {
  it('says what was asked for, under the root of the boot', async () => {
    const key = freshTlsKey();
    const [leaf, appCa, root] = await certifyKey(keys, key, everything, app.attest);
    expect(root).toBe(keys.caCert);
    const parsed = new X509Certificate(leaf!);
    expect(parsed.subjectAltName).toBe('DNS:app.example, IP Address:10.0.0.1');
    expect(parsed.checkIssued(new X509Certificate(appCa!))).toBe(true);
    expect(new Date(parsed.validTo).getTime() / 1000).toBe(2_000_000_000);
    expect(Buffer.from(readExtension(leaf!, OID.usage)!).toString()).toBe('app:custom');
    expect(toHex(readExtension(leaf!, OID.appId)!)).toBe(app.appId);
    expect(toHex(decodeAppInfoExtension(readExtension(leaf!, OID.appInfo)!).composeHash)).toBe(app.composeHash);
    const evidence = decodeVersioned(readExtension(leaf!, OID.attestation)!).attestation;
    expect(evidence.reportData).toEqual(certReportData(key.spkiDer));
    if (hasOpenssl) expect(opensslVerify([leaf!, appCa!], { root: root! })).toBe('OK');
  });

  it('has no evidence inside unless asked, but is never signed without it', async () => {
    const asked: string[] = [];
    const attest = (data: Uint8Array) => {
      asked.push(toHex(data));
      return app.attest(data);
    };
    const key = freshTlsKey();
    const [leaf] = await certifyKey(keys, key, { commonName: 'x' }, attest);
    expect(asked).toContain(toHex(certReportData(key.spkiDer)));
    expect(readExtension(leaf!, OID.attestation)).toBeUndefined();
    expect(readExtension(leaf!, OID.appInfo)).toBeUndefined();
  });

  it('costs one more quote for the connection, once a process', async () => {
    const fresh = { ...keys };
    let quotes = 0;
    const attest = (data: Uint8Array) => {
      quotes++;
      return app.attest(data);
    };
    await certifyKey(fresh, freshTlsKey(), { commonName: 'x' }, attest);
    expect(quotes).toBe(2);
    await certifyKey(fresh, freshTlsKey(), { commonName: 'x' }, attest);
    expect(quotes).toBe(3);
  });

  it('is tried again when the evidence for the connection could not be made', async () => {
    const fresh = { ...keys };
    let broken = true;
    const key = freshTlsKey();
    const attest = async (data: Uint8Array) => {
      if (broken && toHex(data) !== toHex(certReportData(key.spkiDer))) throw new DstackError('QUOTE_BUSY', 'busy');
      return app.attest(data);
    };
    expect((await rejection(certifyKey(fresh, key, { commonName: 'x' }, attest))).code).toBe('QUOTE_BUSY');
    broken = false;
    expect(await certifyKey(fresh, key, { commonName: 'x' }, attest)).toHaveLength(3);
  });

  it('may be valid at any time the app chooses', async () => {
    const old = { commonName: 'x', notBefore: 100, notAfter: 200 };
    expect(await certifyKey(keys, freshTlsKey(), old, app.attest)).toHaveLength(3);
  });
});

describe('the KMS is not believed', () => {
  const authority = (): Authority => ({ key: roots.ca.key, certificate: roots.ca.certificate });
  const withUrl = (url: string): AppKeys => ({
    ...keys,
    keyProvider: { ...keys.keyProvider, url } as AppKeys['keyProvider'],
  });
  const answering = async (body: unknown) => {
    const answer = (response: { end(text: string): unknown }) => response.end(JSON.stringify(body));
    return withUrl((await rpcServer({ issuer: authority(), request: () => ({ usage: 'kms:rpc' }), answer })).url);
  };
  const ask = (from: AppKeys, key = freshTlsKey()) => rejection(certifyKey(from, key, { commonName: 'x' }, app.attest));

  it('with a certificate for another key, another root, or none', async () => {
    const [mine, theirs] = [freshTlsKey(), freshTlsKey()];
    const foreign = await issueCertificate({ commonName: 'x' }, theirs, authority());
    const selfMade = await issueCertificate({ commonName: 'x' }, mine);
    const answers = [
      { certificate_chain: [foreign, keys.caCert] },
      { certificate_chain: [selfMade] },
      { certificate_chain: [] },
      { certificate_chain: ['no certificate'] },
      { certificate_chain: 'text' },
      null,
    ];
    for (const answer of answers) {
      const error = await ask(await answering(answer), mine);
      expect(error, JSON.stringify(answer)).toMatchObject({ code: 'KMS_ANSWER_INVALID' });
    }
  });

  it('when its TLS certificate is of another root', async () => {
    const stranger = freshTlsKey();
    const certificate = await issueCertificate({ commonName: 'Dstack KMS CA', ca: { pathLength: 1 } }, stranger);
    const server = await rpcServer({ issuer: { key: stranger, certificate } });
    expect((await ask(withUrl(server.url))).code).toBe('CERT_UNTRUSTED');
    expect(server.requests).toEqual([]);
  });

  it('when its certificate is one that apps have: any of the root without the usage of a KMS', async () => {
    for (const usage of ['app:custom', 'app:ca', undefined]) {
      const server = await rpcServer({ issuer: authority(), request: () => ({ usage }) });
      expect((await ask(withUrl(server.url))).code).toBe('CERT_USAGE_WRONG');
      expect(server.requests).toEqual([]);
    }
  });

  it('when it is signed by the temporary CA, whose key everybody has', async () => {
    const temporary = freshTlsKey();
    const request = { commonName: 'Client Temp CA', ca: { pathLength: 0 } };
    const tmpCaCert = await issueCertificate(request, temporary, authority());
    const server = await rpcServer({
      issuer: { key: temporary, certificate: tmpCaCert },
      chain: [tmpCaCert],
      request: () => ({ usage: 'kms:rpc' }),
    });
    const keyProvider = { ...keys.keyProvider, url: server.url, tmpCaCert, tmpCaKey: privateKeyPem(temporary) };
    const error = await ask({ ...keys, keyProvider } as AppKeys);
    expect(error.code).toBe('CERT_UNTRUSTED');
    expect(server.requests).toEqual([]);
  });

  it('and its refusal is told in its own words', async () => {
    const strict = await startKms({ roots, attested: false, policy: { apps: new Set(), composeHashes: new Set() } });
    const error = await ask(withUrl(`https://127.0.0.1:${strict.port}/prpc`));
    expect(error.code).toBe('KMS_REFUSED');
    await strict.close();
  });

  it('and its absence has a code', async () => {
    expect((await ask(withUrl('https://127.0.0.1:1/prpc'))).code).toBe('KMS_UNREACHABLE');
  });
});

describe('a certificate signed by the app itself', () => {
  it('needs evidence only for what is in it', async () => {
    const own = await generateAppKeys(1);
    const refuse = () => Promise.reject(new DstackError('TEE_NOT_FOUND', 'no TEE'));
    expect(await certifyKey(own, freshTlsKey(), { commonName: 'x' }, refuse)).toHaveLength(2);
    expect((await rejection(certifyKey(own, freshTlsKey(), { commonName: 'x', withQuote: true }, refuse))).code).toBe(
      'TEE_NOT_FOUND',
    );
    const [leaf] = await certifyKey(own, freshTlsKey(), everything, app.attest);
    expect(decodeAppInfoExtension(readExtension(leaf!, OID.appInfo)!).appId).toHaveLength(20);
  });
});

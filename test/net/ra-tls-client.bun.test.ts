import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { tempCertificate } from '../../src/keys/temp-cert.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { callRaTls, type PeerRules } from '../../src/net/ra-tls-client.ts';
import { encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import type { CertificateRequest } from '../../src/x509/x509.ts';
import { evidenceRulesFor } from './evidence-rules.ts';
import { type Authority, authority, closeServers, evidenceFor, mockEvidence, rpcServer } from './ra-tls-server.ts';

const inBun = it.runIf('Bun' in globalThis);
const PKI = mockPki(new Uint8Array(32).fill(0x31));
const OTHER = mockPki(new Uint8Array(32).fill(0x32));
const KMS = { usage: 'kms:rpc' } as const;

const evidenceRules = evidenceRulesFor(PKI);
let root: Authority;
beforeAll(async () => {
  root = await authority('Dstack KMS CA', 1);
});
afterEach(closeServers);

const rules = (): PeerRules => ({
  root: root.certificate,
  usage: 'kms:rpc',
  evidence: 'required',
  evidenceRules: evidenceRules(),
});
const call = (url: string, more = {}, peer: PeerRules | 'any' = rules()) =>
  callRaTls(url, 'GetAppKey', { api_version: 1 }, { peer, unreachable: 'KMS_UNREACHABLE', ...more });

describe('a call over RA-TLS under Bun', () => {
  inBun('reaches a genuine peer below an intermediate, and shows it who asks', async () => {
    const app = await authority('Dstack App CA', 0, root);
    const server = await rpcServer({
      issuer: app,
      chain: [app.certificate, root.certificate],
      request: (key) => ({ ...KMS, attestation: evidenceFor(PKI, key) }),
    });
    const ca = { certificate: root.certificate, key: privateKeyPem(root.key) };
    const client = await tempCertificate(ca, async (data) => encodeVersioned(strip(mockEvidence(PKI, data))));
    expect(await call(server.url, { client })).toEqual({ ok: true });
    expect(server.requests[0]!.client!.toString('latin1')).toContain('RA-TLS TEMP Cert');
  });

  const seconds = () => Math.floor(Date.now() / 1000);
  const cases: [string, (key: ReturnType<typeof freshTlsKey>) => Partial<CertificateRequest>][] = [
    ['CERT_USAGE_WRONG', (key) => ({ usage: 'app:custom', attestation: evidenceFor(PKI, key) })],
    ['CERT_NAME_MISMATCH', (key) => ({ ...KMS, altNames: ['kms.example'], attestation: evidenceFor(PKI, key) })],
    ['CERT_EXPIRED', (key) => ({ ...KMS, notAfter: seconds() - 60, attestation: evidenceFor(PKI, key) })],
    ['EVIDENCE_MISMATCH', () => ({ ...KMS, attestation: evidenceFor(PKI, freshTlsKey()) })],
    ['EVIDENCE_INVALID', (key) => ({ ...KMS, attestation: evidenceFor(OTHER, key) })],
    ['EVIDENCE_INVALID', () => KMS],
  ];
  for (const [code, request] of cases) {
    inBun(`refuses a peer with ${code} before it gets a request`, async () => {
      const server = await rpcServer({ issuer: root, request });
      await expect(call(server.url)).rejects.toMatchObject({ code });
      expect(server.requests).toEqual([]);
    });
  }

  inBun('refuses another root, and keeps its time limits', async () => {
    const stranger = await rpcServer({ issuer: await authority('Dstack KMS CA', 1), request: () => KMS });
    await expect(call(stranger.url)).rejects.toMatchObject({ code: 'CERT_UNTRUSTED' });
    const slow = await rpcServer({ issuer: root, request: () => KMS, answer: () => {} });
    const peer = { ...rules(), evidence: 'ignore' } as const;
    await expect(call(slow.url, { timeoutMs: 300 }, peer)).rejects.toThrow('did not answer within');
    await expect(call('https://127.0.0.1:1/prpc')).rejects.toMatchObject({ code: 'KMS_UNREACHABLE' });
  });
});

import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { mockPki } from '../../simulator/pki.ts';
import { DstackError } from '../../src/errors.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { tempCertificate } from '../../src/keys/temp-cert.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { callRaTls, type PeerRules } from '../../src/net/ra-tls-client.ts';
import { decodeVersioned, encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { OID, readExtension, toPem } from '../../src/x509/x509.ts';
import { evidenceRulesFor } from './evidence-rules.ts';
import { type Authority, authority, closeServers, evidenceFor, mockEvidence, rpcServer } from './ra-tls-server.ts';

const PKI = mockPki(new Uint8Array(32).fill(0x31));
const OTHER = mockPki(new Uint8Array(32).fill(0x32));
const DAY = 86_400;

const evidenceRules = evidenceRulesFor(PKI);
let root: Authority;

beforeAll(async () => {
  root = await authority('Dstack KMS CA', 1);
});
afterEach(closeServers);

const rules = (more: Partial<PeerRules> = {}): PeerRules => ({
  root: root.certificate,
  usage: 'kms:rpc',
  evidenceRules: evidenceRules(),
  ...more,
});
const call = (url: string, peer: PeerRules | 'any' = rules(), more = {}) =>
  callRaTls(url, 'GetAppKey', { api_version: 1 }, { peer, ...more });

async function failed(work: Promise<unknown>): Promise<DstackError> {
  const thrown = await work.then(
    (value) => expect.fail(`succeeded with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(DstackError);
  return thrown as DstackError;
}

const KMS = { usage: 'kms:rpc' } as const;

describe('a call over RA-TLS', () => {
  it('reaches a genuine peer and shows it who asks', async () => {
    const server = await rpcServer({
      issuer: root,
      request: (key) => ({ ...KMS, attestation: evidenceFor(PKI, key) }),
    });
    const ca = { certificate: root.certificate, key: privateKeyPem(root.key) };
    const client = await tempCertificate(ca, async (data) => encodeVersioned(strip(mockEvidence(PKI, data))));
    expect(await call(server.url, rules({ evidence: 'required' }), { client })).toEqual({ ok: true });
    expect(server.requests).toHaveLength(1);
    expect(server.requests[0]).toMatchObject({ path: '/prpc/GetAppKey?json', body: '{"api_version":1}' });
    const shown = new X509Certificate(toPem('CERTIFICATE', server.requests[0]!.client!));
    expect(shown.subject).toBe('CN=RA-TLS TEMP Cert');
    const evidence = readExtension(new Uint8Array(shown.raw), OID.attestation);
    const spki = shown.publicKey.export({ format: 'der', type: 'spki' });
    expect(decodeVersioned(evidence!).attestation.reportData).toEqual(certReportData(spki));
  });

  it('takes evidence as optional, unless it is required', async () => {
    const server = await rpcServer({ issuer: root, request: () => KMS });
    expect(await call(server.url)).toEqual({ ok: true });
    expect(await failed(call(server.url, rules({ evidence: 'required' })))).toMatchObject({ code: 'EVIDENCE_INVALID' });
    // who pins the platform of its peers is not put off with none
    const pinned = rules({ evidenceRules: { ...evidenceRules(), allowed: ['UpToDate'] } });
    expect(await failed(call(server.url, pinned))).toMatchObject({ code: 'EVIDENCE_INVALID' });
  });

  it('asks anybody where it is told to, and nobody over plain rules', async () => {
    const stranger = await authority('Stranger', 1);
    const server = await rpcServer({ issuer: stranger });
    expect(await call(server.url, 'any')).toEqual({ ok: true });
    expect(server.requests[0]?.client).toBeUndefined();
  });

  it('follows intermediates up to the root', async () => {
    const app = await authority('Dstack App CA', 0, root);
    const chain = [app.certificate, root.certificate];
    const server = await rpcServer({ issuer: app, chain, request: () => KMS });
    expect(await call(server.url)).toEqual({ ok: true });
    const cut = await rpcServer({ issuer: app, request: () => KMS });
    expect((await failed(call(cut.url))).code).toBe('CERT_UNTRUSTED');
  });
});

describe('a peer is refused before it gets a request', () => {
  const seconds = () => Math.floor(Date.now() / 1000);
  const cases: [
    code: string,
    why: string,
    request: Parameters<typeof rpcServer>[0]['request'],
    peer: () => PeerRules,
  ][] = [
    ['CERT_USAGE_WRONG', 'for another usage', () => ({ usage: 'app:custom' }), rules],
    ['CERT_USAGE_WRONG', 'for no usage', () => ({}), rules],
    ['CERT_USAGE_WRONG', 'for TLS clients only', () => ({ ...KMS, clientAuth: true }), rules],
    ['CERT_NAME_MISMATCH', 'for another host', () => ({ ...KMS, altNames: ['kms.example'] }), rules],
    ['CERT_NAME_MISMATCH', 'with a common name only', () => ({ ...KMS, altNames: [] }), rules],
    ['CERT_EXPIRED', 'that is too old', () => ({ ...KMS, notAfter: seconds() - DAY }), rules],
    ['CERT_NOT_YET_VALID', 'from the future', () => ({ ...KMS, notBefore: seconds() + DAY }), rules],
    [
      'CERT_APP_MISMATCH',
      'of another app',
      () => ({ ...KMS, appId: new Uint8Array(20).fill(1) }),
      () => rules({ acceptsApp: (id) => id === '02'.repeat(20) }),
    ],
    ['CERT_APP_MISMATCH', 'of no app', () => KMS, () => rules({ acceptsApp: (id) => id !== '' })],
    [
      'EVIDENCE_MISMATCH',
      'with evidence of another key',
      () => ({ ...KMS, attestation: evidenceFor(PKI, freshTlsKey()) }),
      rules,
    ],
    [
      'EVIDENCE_INVALID',
      'with a log that does not replay',
      (key) => ({
        ...KMS,
        attestation: encodeVersioned(
          mockEvidence(PKI, certReportData(key.spkiDer), [
            { event: 'app-id', payload: new Uint8Array(20), version: 1 },
          ]),
        ),
      }),
      rules,
    ],
    ['EVIDENCE_INVALID', 'of another PKI', (key) => ({ ...KMS, attestation: evidenceFor(OTHER, key) }), rules],
    [
      'EVIDENCE_INVALID',
      'with a tampered quote',
      (key) => {
        const evidence = Uint8Array.from(evidenceFor(PKI, key));
        const quote = Buffer.from(evidence).indexOf(Buffer.from('040002008100', 'hex'));
        evidence[quote + 48 + 136]! ^= 1; // MRTD
        return { ...KMS, attestation: evidence };
      },
      rules,
    ],
    ['ATTESTATION_INVALID', 'with damaged evidence', () => ({ ...KMS, attestation: Uint8Array.of(7, 7) }), rules],
    [
      'ATTESTATION_INVALID',
      'of another platform',
      () => ({
        ...KMS,
        attestation: encodeVersioned({
          platform: { kind: 'nitro-enclave', nsmQuote: new Uint8Array(3) },
          reportData: new Uint8Array(64),
          runtimeEvents: [],
          config: '',
        }),
      }),
      rules,
    ],
    [
      'COLLATERAL_UNAVAILABLE',
      'while nobody knows its platform',
      (key) => ({ ...KMS, attestation: evidenceFor(PKI, key) }),
      () => rules({ evidenceRules: { ...evidenceRules(), pccs: 'http://127.0.0.1:1' } }),
    ],
    [
      'EVIDENCE_INVALID',
      'of a simulator where none is published',
      (key) => ({ ...KMS, attestation: evidenceFor(PKI, key) }),
      () => rules({ evidenceRules: { ...evidenceRules(), anchorDir: '/nonexistent' } }),
    ],
  ];
  it.each(cases)('%s: one %s', async (code, _, request, peer) => {
    const server = await rpcServer({ issuer: root, ...(request === undefined ? {} : { request }) });
    expect((await failed(call(server.url, peer()))).code).toBe(code);
    expect(server.requests).toEqual([]);
  });

  it('CERT_UNTRUSTED: one of another root with the same name', async () => {
    const server = await rpcServer({ issuer: await authority('Dstack KMS CA', 1), request: () => KMS });
    expect((await failed(call(server.url))).code).toBe('CERT_UNTRUSTED');
    expect(server.requests).toEqual([]);
  });

  it('CERT_UNTRUSTED: one below more CAs than the root allows', async () => {
    const first = await authority('First', 1, root);
    const second = await authority('Second', 1, first);
    const chain = [second.certificate, first.certificate];
    const server = await rpcServer({ issuer: second, chain, request: () => KMS });
    expect((await failed(call(server.url))).code).toBe('CERT_UNTRUSTED');
    expect(server.requests).toEqual([]);
  });

  it('names the error of a published root that anybody could have written', async () => {
    const open = await mkdtemp(join(tmpdir(), 'anchors-'));
    await writeFile(join(open, 'roots.json'), '{}', { mode: 0o600 });
    const server = await rpcServer({
      issuer: root,
      request: (key) => ({ ...KMS, attestation: evidenceFor(PKI, key) }),
    });
    const peer = rules({ evidenceRules: { ...evidenceRules(), anchorDir: open } });
    expect((await failed(call(server.url, peer))).code).toBe('TRUST_ANCHORS_INVALID');
    await rm(open, { recursive: true });
  });
});

describe('connections', () => {
  const codes = { unreachable: 'KMS_UNREACHABLE', failed: 'HOST_API_FAILED' } as const;
  const sockets: Socket[] = [];
  const listen = async (handle: (socket: Socket) => void): Promise<string> => {
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => {});
      handle(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    servers.push(server);
    return `https://localhost:${(server.address() as { port: number }).port}/prpc`;
  };
  const servers: { close(): void }[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  it('have a limit for TCP and TLS', async () => {
    const silent = await listen(() => {});
    const error = await failed(call(silent, rules(), { ...codes, connectTimeoutMs: 100 }));
    expect(error).toMatchObject({ code: 'KMS_UNREACHABLE' });
    expect(String(error.cause)).toContain('no TLS connection within 100 ms');
  });

  it('have a limit for the whole call', async () => {
    const slow = await rpcServer({ issuer: root, request: () => KMS, answer: () => {} });
    const error = await failed(call(slow.url, rules(), { ...codes, timeoutMs: 200 }));
    expect(error.code).toBe('KMS_UNREACHABLE');
    expect(error.message).toContain('did not answer within');
  });

  it('fail with the code of the caller when nobody, or no TLS, answers', async () => {
    expect((await failed(call('https://127.0.0.1:1/prpc', rules(), codes))).code).toBe('KMS_UNREACHABLE');
    const noTls = await listen((socket) => socket.end('HTTP/1.1 400 no\r\n\r\n'));
    expect((await failed(call(noTls, rules(), codes))).code).toBe('KMS_UNREACHABLE');
    const closing = await listen((socket) => socket.destroy());
    expect((await failed(call(closing, rules(), codes))).code).toBe('KMS_UNREACHABLE');
  });

  it('tell what the peer answered', async () => {
    const refusing = await rpcServer({
      issuer: root,
      request: () => KMS,
      answer: (response) => response.writeHead(400).end('{"error":"app not allowed"}'),
    });
    const error = await failed(call(refusing.url, rules(), codes));
    expect(error).toMatchObject({ code: 'HOST_API_FAILED', cause: 'app not allowed' });
  });

  it('are given up on demand', async () => {
    const silent = await listen(() => {});
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 50);
    expect((await failed(call(silent, rules(), { ...codes, signal: abort.signal }))).code).toBe('KMS_UNREACHABLE');
  });

  it('need https for certificates, and rules for https', async () => {
    const { callJson } = await import('../../src/net/prpc-client.ts');
    expect((await failed(callJson('https://localhost:1/prpc', 'Info', {}))).code).toBe('CONFIG_INVALID');
  });
});

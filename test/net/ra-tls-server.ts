/** A server that speaks RPC over mutual TLS, with certificates and evidence as the test wants them. */
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import * as tls from 'node:tls';
import { mockQuote } from '../../simulator/mock-quote.ts';
import type { MockPki } from '../../simulator/pki.ts';
import type { P256Key } from '../../src/keys/derive.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { type Attestation, encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import type { RuntimeEvent } from '../../src/tdx/events.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import { toTdxEvent } from '../../src/tdx/tdx-event.ts';
import { type CertificateRequest, issueCertificate } from '../../src/x509/x509.ts';

export const EVENTS: readonly RuntimeEvent[] = [
  { event: 'app-id', payload: new Uint8Array(20).fill(0xaa), version: 1 },
  { event: 'boot-mr-done', payload: new Uint8Array(), version: 1 },
];

/** Evidence of a TD of this PKI over `reportData`. */
export function mockEvidence(pki: MockPki, reportData: Uint8Array, events = EVENTS): Attestation {
  const zero = new Uint8Array(48);
  const quote = mockQuote(pki, { mrtd: zero, rtmrs: [zero, zero, zero, replayRuntime(EVENTS)], reportData });
  return {
    platform: { kind: 'tdx', quote, eventLog: events.map(toTdxEvent) },
    reportData,
    runtimeEvents: events,
    config: '{}',
  };
}

export const evidenceFor = (pki: MockPki, key: Pick<P256Key, 'spkiDer'>): Uint8Array =>
  encodeVersioned(strip(mockEvidence(pki, certReportData(key.spkiDer))));

export interface Authority {
  readonly key: P256Key;
  readonly certificate: string;
}

export async function authority(commonName: string, pathLength: number, issuer?: Authority): Promise<Authority> {
  const key = freshTlsKey();
  return { key, certificate: await issueCertificate({ commonName, ca: { pathLength } }, key, issuer) };
}

export interface RpcServer {
  readonly url: string;
  readonly port: number;
  /** HTTP requests that reached the handler */
  readonly requests: { path: string; body: string; client: Buffer | undefined }[];
}

export interface ServerOptions {
  readonly issuer: Authority;
  /** sent behind the leaf */
  readonly chain?: readonly string[];
  readonly request?: (key: P256Key) => Partial<CertificateRequest>;
  readonly answer?: (response: http.ServerResponse) => void;
}

const closers: (() => void)[] = [];
export function closeServers(): void {
  for (const close of closers.splice(0)) close();
}

export async function rpcServer(options: ServerOptions): Promise<RpcServer> {
  const key = freshTlsKey();
  const request = { commonName: 'localhost', altNames: ['localhost', '127.0.0.1'], ...options.request?.(key) };
  const leaf = await issueCertificate(request, key, options.issuer);
  const requests: RpcServer['requests'] = [];
  const web = http.createServer((incoming, response) => {
    const client = (incoming.socket as tls.TLSSocket).getPeerCertificate(true)?.raw;
    let body = '';
    incoming.on('data', (chunk) => {
      body += chunk;
    });
    incoming.on('end', () => {
      requests.push({ path: incoming.url ?? '', body, client });
      if (options.answer) options.answer(response);
      else response.end('{"ok":true}');
    });
  });
  const cert = [leaf, ...(options.chain ?? [])].join('');
  const server = tls.createServer(
    { cert, key: privateKeyPem(key), requestCert: true, rejectUnauthorized: false },
    (socket) => web.emit('connection', socket),
  );
  server.on('tlsClientError', () => {});
  const sockets = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `https://localhost:${port}/prpc`, port, requests };
}

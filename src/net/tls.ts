/**
 * TLS connections whose peer is judged by our own rules: the runtime's certificate check is off, the chain that was
 * presented is handed to `verifyPeer`, and nothing is sent before that has agreed.
 */
import { isIP } from 'node:net';
import * as tls from 'node:tls';
import type { ClientCertificate } from '../keys/temp-cert.ts';

export interface TlsRules {
  /** shown to the peer when it asks */
  readonly client?: ClientCertificate | undefined;
  /** gets the peer's certificates (DER, leaf first); throws to refuse it. `any` takes everybody */
  readonly verifyPeer: 'any' | ((chain: readonly Uint8Array[]) => Promise<void>);
  /** limit for TCP and TLS together in milliseconds, default 5 000 */
  readonly connectTimeoutMs?: number | undefined;
}

const CONNECT_TIMEOUT_MS = 5_000;
/** a chain longer than this is cut, and then does not reach a root */
const MAX_CHAIN = 16;

/**
 * Connects and judges the peer.
 * @throws what `verifyPeer` throws; plain errors of the connection
 */
export async function connectTls(
  { host, port }: { readonly host: string; readonly port: number },
  rules: TlsRules,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const timeoutMs = rules.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const socket = tls.connect({
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}), // RFC 6066, 3: no addresses in SNI
    ...(rules.client === undefined ? {} : { cert: rules.client.certificate, key: rules.client.key }),
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    rejectUnauthorized: false, // judged below
  });
  socket.on('error', () => {}); // errors after the handshake reach the HTTP request
  try {
    await handshake(socket, timeoutMs, signal);
    if (rules.verifyPeer !== 'any') await orAborted(rules.verifyPeer(presentedChain(socket)), signal);
    return socket;
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
}

function handshake(socket: tls.TLSSocket, timeoutMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(new Error(`no TLS connection within ${timeoutMs} ms`)), timeoutMs);
    const onAbort = () => fail(signal.reason);
    const onClose = () => fail(new Error('the connection was closed in the TLS handshake'));
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.removeListener('close', onClose).removeListener('error', fail);
    };
    const fail = (error: unknown) => {
      settle();
      reject(error);
    };
    socket.once('error', fail).once('close', onClose);
    socket.once('secureConnect', () => {
      settle();
      resolve();
    });
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/** Judging evidence may ask a third party: it ends with the call it belongs to. */
function orAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Leaf first, each followed by its issuer as far as the peer sent it. */
function presentedChain(socket: tls.TLSSocket): Uint8Array[] {
  const out: Uint8Array[] = [];
  const seen = new Set<string>();
  let current: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (current?.raw !== undefined && out.length < MAX_CHAIN) {
    const id = current.raw.toString('base64');
    if (seen.has(id)) break; // a root names itself as its issuer
    seen.add(id);
    out.push(new Uint8Array(current.raw));
    current = current.issuerCertificate;
  }
  return out;
}

/**
 * TLS in front of HTTP, for services that judge a client's certificate themselves: the handshake asks for one and lets
 * everybody in, so that a client is told in an answer why it is refused.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer, type Server, type TLSSocket } from 'node:tls';
import { DstackError } from '../src/errors.ts';
import * as ui from '../src/ui.ts';

const IDLE_MS = 60_000;
const MAX_CHAIN = 8;

/** @param chain what the client showed, in DER, leaf first; empty without a certificate */
export type Serve = (
  request: IncomingMessage,
  response: ServerResponse,
  chain: readonly Uint8Array[],
) => void | Promise<void>;

export interface FrontOptions {
  /** PEM, both */
  readonly certificate: string;
  readonly key: string;
  /** asked for each TCP connection: `true` closes it before it says anything */
  readonly down?: () => boolean;
}

export class TlsFront {
  readonly #tls: Server;
  readonly #http;
  readonly #chains = new WeakMap<object, Uint8Array[]>();
  readonly #sockets = new Set<TLSSocket>();

  constructor({ certificate, key, down }: FrontOptions, serve: Serve) {
    this.#http = createServer((request, response) => {
      request.on('error', () => {});
      response.on('error', () => {});
      void serve(request, response, this.#chains.get(request.socket) ?? []);
    });
    this.#tls = createTlsServer({
      key,
      cert: certificate,
      minVersion: 'TLSv1.2',
      requestCert: true,
      rejectUnauthorized: false,
    });
    this.#tls.on('connection', (socket) => {
      if (down?.()) socket.destroy();
    });
    this.#tls.on('secureConnection', (socket) => this.#accept(socket));
    this.#tls.on('tlsClientError', (failure) => ui.debug(`handshake failed: ${failure.message}`));
  }

  /** Listens on a TCP address or on a unix socket. */
  listen(where: { readonly path: string } | { readonly host: string; readonly port: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#tls.once('error', reject);
      this.#tls.listen(where, resolve);
    });
  }

  /** 0 on a unix socket */
  get port(): number {
    return (this.#tls.address() as AddressInfo | null)?.port ?? 0;
  }

  /** Shows another certificate to whoever connects from now on. */
  show({ certificate, key }: Pick<FrontOptions, 'certificate' | 'key'>): void {
    this.#tls.setSecureContext({ cert: certificate, key, minVersion: 'TLSv1.2' });
  }

  /** Ends all connections and stops listening. */
  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#tls.close(() => resolve()));
  }

  #accept(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    this.#chains.set(socket, presented(socket));
    this.#http.emit('connection', socket);
  }
}

/** A self-signed certificate names itself as its issuer: the walk ends where it has been before. */
function presented(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<string>();
  let current = socket.getPeerCertificate(true) as { raw?: Buffer; issuerCertificate?: object } | undefined;
  while (current?.raw !== undefined && chain.length < MAX_CHAIN) {
    const id = current.raw.toString('base64');
    if (seen.has(id)) break;
    seen.add(id);
    chain.push(new Uint8Array(current.raw));
    current = current.issuerCertificate as typeof current;
  }
  return chain;
}

/** The body of a request. @throws RPC_PAYLOAD_TOO_LARGE beyond `limit` bytes */
export async function readBody(request: IncomingMessage, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Uint8Array).length;
    if (size > limit) throw new DstackError('RPC_PAYLOAD_TOO_LARGE', 'failed to read data: payload too large');
    chunks.push(chunk as Uint8Array);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

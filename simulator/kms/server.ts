/**
 * The development KMS on the network: TLS that asks clients for a certificate, and prpc over HTTP behind it. The handshake
 * lets everybody in, because two methods need no certificate; the others look at it.
 */
import { EventEmitter } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server, type TLSSocket } from 'node:tls';
import type { HttpRequest } from '../../src/agent/http.ts';
import { rpcHandler } from '../../src/agent/rpc.ts';
import { DstackError, errorChain } from '../../src/errors.ts';
import * as ui from '../../src/ui.ts';
import type { Faults } from './faults.ts';
import { type KmsService, kmsMethods } from './methods.ts';
import { rpcCertificate } from './rpc-certificate.ts';

const BODY_LIMIT = 10 * 1024 * 1024;
const IDLE_MS = 60_000;
const MOUNT = { base: '/prpc', strip: 'KMS.' } as const;

export interface KmsOptions extends KmsService {
  /** host name or IP address in the certificate: what clients call this service */
  readonly domain: string;
  readonly faults?: Faults;
  /** false = the certificate carries no evidence */
  readonly attested?: boolean;
}

export interface KmsRequest {
  readonly method: string;
  readonly status: number;
}

/** One KMS. Emits `request` for each request that it answers. */
export class Kms extends EventEmitter<{ request: [KmsRequest] }> {
  readonly options: KmsOptions;
  readonly #tls: Server;
  readonly #http = createServer((request, response) => void this.#serve(request, response));
  readonly #peers = new WeakMap<object, Uint8Array>();
  readonly #sockets = new Set<TLSSocket>();
  #answered = 0;

  private constructor(options: KmsOptions, tls: Server) {
    super();
    this.options = options;
    this.#tls = tls;
    tls.on('secureConnection', (socket) => this.#accept(socket));
    tls.on('tlsClientError', (failure) => ui.debug(`handshake failed: ${failure.message}`));
  }

  /** Listens on a TCP address or on a unix socket (an existing socket file is replaced). */
  static async start(
    options: KmsOptions,
    where: { readonly path: string } | { readonly host: string; readonly port: number },
  ): Promise<Kms> {
    const pki = options.attested === false ? undefined : options.pki;
    const { key, certificate } = await rpcCertificate(options.roots, options.domain, pki, options.faults ?? {});
    const tls = createTlsServer({
      key,
      cert: certificate,
      minVersion: 'TLSv1.2',
      requestCert: true,
      rejectUnauthorized: false,
    });
    if ('path' in where) await rm(where.path, { force: true });
    await new Promise<void>((resolve, reject) => {
      tls.once('error', reject);
      tls.listen(where, resolve);
    });
    return new Kms(options, tls);
  }

  get port(): number {
    const address = this.#tls.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#tls.close(() => resolve()));
  }

  #accept(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    const { raw } = socket.getPeerCertificate(true) ?? {};
    if (raw !== undefined) this.#peers.set(socket, new Uint8Array(raw));
    this.#http.emit('connection', socket);
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { faults = {} } = this.options;
    request.on('error', () => {});
    response.on('error', () => {});
    if (this.#answered >= (faults.failAfter ?? Number.POSITIVE_INFINITY)) {
      request.socket.destroy();
      return;
    }
    this.#answered += 1;
    if (faults.delay) await new Promise((resolve) => setTimeout(resolve, faults.delay).unref());
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    const exchange: HttpRequest = {
      method: request.method ?? 'GET',
      path,
      query,
      headers: request.headers as Record<string, string | undefined>,
      body: () => readBody(request),
    };
    const handler = rpcHandler('KMS', kmsMethods(this.options, this.#peers.get(request.socket)), MOUNT);
    try {
      const answer = await handler(exchange);
      const body = answer.body as Uint8Array | string; // this service has no streams
      this.emit('request', { method: path.split('/').at(-1) ?? '', status: answer.status });
      response.writeHead(answer.status, { ...answer.headers, 'content-length': Buffer.byteLength(body) });
      response.end(body);
    } catch (thrown) {
      ui.error(`request ${path} failed: ${errorChain(thrown)}`);
      response.destroy();
    }
  }
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Uint8Array).length;
    if (size > BODY_LIMIT) throw new DstackError('RPC_PAYLOAD_TOO_LARGE', 'failed to read data: payload too large');
    chunks.push(chunk as Uint8Array);
  }
  return new Uint8Array(Buffer.concat(chunks));
}

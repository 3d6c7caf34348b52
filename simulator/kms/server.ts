/**
 * The development KMS on the network: TLS that asks clients for a certificate, and prpc over HTTP behind it. The handshake
 * lets everybody in, because two methods need no certificate; the others look at it.
 */
import { EventEmitter } from 'node:events';
import { rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { rpcHandler } from '../../src/agent/rpc/rpc.ts';
import { errorChain } from '../../src/errors.ts';
import type { HttpRequest } from '../../src/http/http.ts';
import * as ui from '../../src/ui.ts';
import { readBody, TlsFront } from '../tls-front.ts';
import type { Faults } from './faults.ts';
import { kmsMethods } from './methods.ts';
import { rpcCertificate } from './rpc-certificate.ts';
import type { KmsService } from './service.ts';

const BODY_LIMIT = 10 * 1024 * 1024;
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
  readonly #front: TlsFront;
  #answered = 0;

  private constructor(options: KmsOptions, identity: { readonly key: string; readonly certificate: string }) {
    super();
    this.options = options;
    this.#front = new TlsFront(identity, (request, response, [leaf]) => this.#serve(request, response, leaf));
  }

  /** Listens on a TCP address or on a unix socket (an existing socket file is replaced). */
  static async start(
    options: KmsOptions,
    where: { readonly path: string } | { readonly host: string; readonly port: number },
  ): Promise<Kms> {
    const pki = options.attested === false ? undefined : options.pki;
    const identity = await rpcCertificate(options.roots, options.domain, pki, options.faults ?? {});
    const kms = new Kms(options, identity);
    if ('path' in where) await rm(where.path, { force: true });
    await kms.#front.listen(where);
    return kms;
  }

  get port(): number {
    return this.#front.port;
  }

  close(): Promise<void> {
    return this.#front.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse, leaf: Uint8Array | undefined): Promise<void> {
    const { faults = {} } = this.options;
    if (this.#answered >= (faults.failAfter ?? Number.POSITIVE_INFINITY)) {
      request.socket.destroy();
      return;
    }
    this.#answered += 1;
    if (faults.delay) await new Promise((resolve) => setTimeout(resolve, faults.delay).unref());
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    const body = await readBody(request, BODY_LIMIT).catch((thrown: unknown) => thrown as Error);
    const asked: HttpRequest = {
      method: request.method ?? 'GET',
      path,
      query,
      headers: request.headers as Record<string, string | undefined>,
      body: () => {
        if (body instanceof Error) throw body;
        return body;
      },
    };
    const handler = rpcHandler('KMS', kmsMethods(this.options, leaf), MOUNT);
    try {
      const answer = await handler(asked);
      const text = answer.body as Uint8Array | string; // this service has no streams
      this.emit('request', { method: path.split('/').at(-1) ?? '', status: answer.status });
      response.writeHead(answer.status, { ...answer.headers, 'content-length': Buffer.byteLength(text) });
      response.end(text);
    } catch (thrown) {
      ui.error(`request ${path} failed: ${errorChain(thrown)}`);
      response.destroy();
    }
  }
}

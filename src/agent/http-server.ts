/**
 * HTTP/1.1 on any stream socket: unix, TCP, vsock, bound here or inherited. Connections are accepted by net.Server and
 * handed to one http.Server, because that is the only way that works for inherited descriptors in this runtime. The
 * built-in limits of http.Server do not apply on that way, so every limit is kept here, per connection.
 */
import * as http from 'node:http';
import type { Socket } from 'node:net';
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { Connection, DEFAULT_LIMITS, type HttpLimits } from './connection-clock.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from './http.ts';
import { readBody, send } from './http-body.ts';

export interface HttpServerOptions {
  readonly handler: HttpHandler;
  readonly limits?: Partial<HttpLimits>;
  /** sent with every answer, for example Server */
  readonly headers?: Readonly<Record<string, string>>;
}

/** One HTTP server without sockets of its own: give it accepted connections. */
export class HttpServer {
  readonly #http: http.Server;
  readonly #limits: HttpLimits;
  readonly #options: HttpServerOptions;
  readonly #live = new Map<Socket, Connection>();
  /** bytes of request bodies in memory */
  #held = 0;
  #closing = false;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#http = http.createServer({ maxHeaderSize: this.#limits.header, requireHostHeader: false });
    this.#http.on('request', (request, response) => void this.#serve(request, response));
    this.#http.on('clientError', (_, socket) => this.#refuse(socket as Socket));
    this.#http.on('upgrade', (_, socket) => socket.destroy());
    this.#http.on('checkContinue', (request, response) => {
      response.writeContinue();
      void this.#serve(request, response);
    });
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#live.size;
  }

  /** Takes over an accepted connection. */
  accept(socket: Socket): void {
    if (this.#closing || this.#live.size >= this.#limits.connections) {
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, this.#limits);
    this.#live.set(socket, connection);
    socket.on('close', () => this.#live.delete(socket));
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#period()).unref();
    socket.on('error', () => socket.destroy()); // a reset by the other side is its own business
    this.#http.emit('connection', socket);
  }

  /** A quarter of the shortest limit: nobody gets much more time than that. */
  #period(): number {
    const { idle, request } = this.#limits;
    return Math.min(1000, Math.max(20, Math.min(idle || request, request) / 4));
  }

  #sweep(): void {
    if (this.#live.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
      return;
    }
    const now = performance.now();
    for (const [socket, connection] of this.#live) if (connection.expired(now)) socket.destroy();
  }

  /** Lets running answers finish (at most `graceMs`), closes idle connections at once. */
  async close(graceMs = 5000): Promise<void> {
    this.#closing = true;
    for (const [socket, connection] of this.#live) if (!connection.busy) socket.destroy();
    const deadline = Date.now() + graceMs;
    while (this.#live.size > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const socket of this.#live.keys()) socket.destroy();
    clearInterval(this.#sweeper);
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const connection = this.#live.get(request.socket);
    connection?.enter('receiving');
    if (connection) connection.request = request;
    request.on('error', () => {});
    response.on('error', () => {});
    let held = 0;
    response.on('close', () => {
      this.#held -= held;
      connection?.enter('waiting');
    });
    const url = request.url ?? '/';
    const question = url.indexOf('?');
    const exchange: HttpRequest = {
      method: request.method ?? 'GET',
      path: question < 0 ? url : url.slice(0, question),
      query: question < 0 ? '' : url.slice(question + 1),
      headers: request.headers as Record<string, string | undefined>,
      body: () =>
        readBody(request, this.#limits.body, (bytes) => {
          held += bytes;
          this.#held += bytes;
          return this.#held <= this.#limits.memory;
        }),
    };
    let answer: HttpResponse;
    let answering = true;
    try {
      const announced = Number(request.headers['content-length'] ?? 0);
      // a body that nobody asked for is read all the same, so that the next request on this connection is found
      if (exchange.method !== 'POST' && announced <= this.#limits.body) request.resume();
      const complete = () => {
        if (answering) connection?.enter('working');
      };
      request.on('end', complete);
      if (request.complete) complete();
      answer = await this.#options.handler(exchange);
    } catch (thrown) {
      ui.error(`request ${exchange.method} ${exchange.path} failed: ${errorChain(thrown)}`);
      answer = {
        status: 500,
        headers: { 'content-type': 'text/plain' },
        body: new TextEncoder().encode('internal error\n'),
      };
    }
    answering = false;
    if (response.destroyed) return;
    const unread = !request.complete && exchange.method !== 'GET' && exchange.method !== 'HEAD';
    const last = this.#closing || unread || this.#limits.idle === 0 || wantsClose(request);
    // a stream may go on for as long as somebody follows it
    if (answer.body instanceof Uint8Array) connection?.enter('sending');
    const headers = { ...this.#options.headers, connection: last ? 'close' : 'keep-alive' };
    try {
      await send(
        response,
        request.method === 'HEAD',
        answer,
        headers,
        this.#limits.request,
        unread ? () => this.#linger(request) : undefined,
      );
    } catch {
      response.destroy();
    }
  }

  /**
   * Bytes that are not HTTP, or an end in the middle of a request. An answer that is on its way is not cut off: some
   * clients announce too short a body, and what is left of it looks like a broken next request.
   */
  #refuse(socket: Socket): void {
    const connection = this.#live.get(socket);
    if (connection?.busy && !connection.receiving) return;
    if (socket.writable && !connection?.busy)
      socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    else socket.destroy();
  }

  /**
   * Reads and drops what is left of a body. A connection that is closed with unread bytes is reset, and a reset destroys
   * an answer that the client has not read yet.
   */
  async #linger(request: http.IncomingMessage): Promise<void> {
    request.removeAllListeners('data');
    request.resume();
    if (request.complete) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#limits.linger);
      for (const event of ['end', 'close'] as const)
        request.once(event, () => {
          clearTimeout(timer);
          resolve();
        });
    });
  }
}

const wantsClose = (request: http.IncomingMessage): boolean => {
  const connection = request.headers.connection?.toLowerCase() ?? '';
  return connection.includes('close') || (request.httpVersion === '1.0' && !connection.includes('keep-alive'));
};

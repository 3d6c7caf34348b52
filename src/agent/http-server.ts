/**
 * HTTP/1.1 on any stream socket: unix, TCP, vsock, bound here or inherited. Connections are accepted by net.Server and
 * handed to one http.Server, because that is the only way that works for inherited descriptors in this runtime. The
 * built-in limits of http.Server do not apply on that way, so every limit is kept here, per connection.
 */
import * as http from 'node:http';
import type { Socket } from 'node:net';
import { DstackError, errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from './http.ts';

export interface HttpLimits {
  /** bytes of a request body */
  readonly body: number;
  /** bytes of a request line with its headers */
  readonly header: number;
  /** milliseconds without a byte before or between requests; 0 = one request a connection */
  readonly idle: number;
  /** milliseconds in which a body that was refused is still read, so that the client gets to see the answer */
  readonly linger: number;
  /** milliseconds from the first byte allowed to the last byte of one request, and for one client to take an answer */
  readonly request: number;
  /** connections at the same time */
  readonly connections: number;
}

export const DEFAULT_LIMITS: HttpLimits = {
  body: 10 * 1024 * 1024,
  header: 16 * 1024,
  idle: 10_000,
  linger: 1000,
  request: 30_000,
  connections: 512,
};

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
  #closing = false;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#http = http.createServer({ maxHeaderSize: this.#limits.header, requireHostHeader: false });
    this.#http.on('request', (request, response) => void this.#serve(request, response));
    this.#http.on('clientError', (_, socket) => refuse(socket as Socket));
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
    request.on('error', () => {});
    response.on('error', () => {});
    response.on('close', () => connection?.enter('waiting'));
    const url = request.url ?? '/';
    const question = url.indexOf('?');
    const exchange: HttpRequest = {
      method: request.method ?? 'GET',
      path: question < 0 ? url : url.slice(0, question),
      query: question < 0 ? '' : url.slice(question + 1),
      headers: request.headers as Record<string, string | undefined>,
      body: () => readBody(request, this.#limits.body),
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

type Phase = 'waiting' | 'receiving' | 'working' | 'sending';

/**
 * The clock of one connection. One sweep looks at all connections now and then: timers of their own would cost more than
 * the answers.
 */
class Connection {
  readonly #socket: Socket;
  readonly #limits: HttpLimits;
  #phase: Phase = 'waiting';
  #since = performance.now();
  #bytes = 0;
  #bytesSince = this.#since;

  constructor(socket: Socket, limits: HttpLimits) {
    this.#socket = socket;
    this.#limits = limits;
  }

  get busy(): boolean {
    return this.#phase !== 'waiting';
  }

  enter(phase: Phase): void {
    this.#phase = phase;
    this.#since = performance.now();
    this.#bytesSince = this.#since;
  }

  /** True when the other side has used up its time. How long an answer takes is not the client's fault. */
  expired(now: number): boolean {
    if (this.#phase === 'working') return false;
    if (now - this.#since > this.#limits.request) return true;
    if (this.#phase === 'sending') return false;
    const bytes = this.#socket.bytesRead;
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#bytesSince = now;
    }
    return now - this.#bytesSince > (this.#limits.idle || this.#limits.request);
  }
}

const wantsClose = (request: http.IncomingMessage): boolean => {
  const connection = request.headers.connection?.toLowerCase() ?? '';
  return connection.includes('close') || (request.httpVersion === '1.0' && !connection.includes('keep-alive'));
};

async function readBody(request: http.IncomingMessage, limit: number): Promise<Uint8Array> {
  const tooLarge = () =>
    new DstackError('RPC_PAYLOAD_TOO_LARGE', 'failed to read data: payload too large', { field: 'body', value: limit });
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge();
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let total = 0;
    request.on('data', (chunk: Uint8Array) => {
      total += chunk.length;
      if (total > limit) {
        request.pause();
        reject(tooLarge());
      } else chunks.push(chunk);
    });
    request.on('end', () =>
      resolve(chunks.length === 1 ? (chunks[0] as Uint8Array) : new Uint8Array(Buffer.concat(chunks))),
    );
    const cutOff = () =>
      reject(new DstackError('RPC_REQUEST_INVALID', 'the request ended before its body was complete'));
    request.on('aborted', cutOff);
    request.on('error', cutOff);
  });
}

async function send(
  response: http.ServerResponse,
  headOnly: boolean,
  answer: HttpResponse,
  extra: Record<string, string>,
  patience: number,
  beforeEnd?: () => Promise<void>,
): Promise<void> {
  const headers: Record<string, string | number> = { ...extra, ...answer.headers };
  if (answer.body instanceof Uint8Array) {
    // the header set in full: Content-Length and no chunks, which hand-written clients depend on
    response.writeHead(answer.status, { ...headers, 'content-length': answer.body.length });
    if (beforeEnd !== undefined && !headOnly) {
      response.write(answer.body);
      await beforeEnd();
      response.end();
    } else response.end(headOnly ? undefined : answer.body);
    return;
  }
  response.writeHead(answer.status, headers);
  if (!headOnly) {
    for await (const chunk of answer.body) {
      if (response.destroyed) return;
      if (!response.write(chunk) && !(await drained(response, patience))) {
        response.destroy(); // the reader stopped reading
        return;
      }
    }
  }
  response.end();
}

/** Waits until the other side has taken what was written. @returns false when it did not in time, or went away */
function drained(response: http.ServerResponse, patience: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), patience);
    const done = (answer: boolean) => () => {
      clearTimeout(timer);
      resolve(answer);
    };
    response.once('drain', done(true));
    response.once('close', done(false));
  });
}

/** Bytes that are not HTTP. An answer that is on its way is not cut off (some clients announce too short a body). */
function refuse(socket: Socket & { _httpMessage?: unknown }): void {
  if (socket._httpMessage) return;
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
  else socket.destroy();
}

/**
 * HTTP/1.1 on any stream socket: unix, TCP, vsock, bound here or inherited. Connections are accepted by net.Server; here
 * they are counted and limited together, so that one listener can be flooded without harm to the others.
 */
import type { Socket } from 'node:net';
import type { DstackError } from '../errors.ts';
import { HttpConnection } from './connection.ts';
import { DEFAULT_LIMITS, type HttpLimits } from './limits.ts';
import { BodyMemory } from './memory.ts';
import type { ConnectionOwner } from './owner.ts';
import { tooBusy } from './ready-made.ts';
import type { HttpSyntaxError } from './syntax.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from './types.ts';

/** how long a server that stops waits for the request of a client that it has accepted already, milliseconds */
const ASKING_MS = 300;

export interface HttpServerOptions {
  readonly handler: HttpHandler;
  readonly limits?: Partial<HttpLimits>;
  /** answers a request that finds too many handlers running; default: status 503 with the text of the error */
  readonly refuse?: (request: HttpRequest, why: DstackError) => Promise<HttpResponse>;
  /** sent with every response, for example Server */
  readonly headers?: Readonly<Record<string, string>>;
  /** tells who is at the other end of a connection, for the log */
  readonly peerOf?: (socket: Socket) => string | undefined;
  /** told of bytes that are not a request, which no handler sees, for the log */
  readonly onMalformed?: (why: DstackError, status: number, peer: string | undefined) => void;
}

/** Counts since the start. */
export interface HttpCounts {
  /** open connections now */
  readonly open: number;
  readonly accepted: number;
  readonly answers: number;
  /** handlers that run now, those of clients that hung up included */
  readonly handlers: number;
  /** bytes of request bodies that are held now */
  readonly bodies: number;
  /** requests that were answered RPC_BUSY */
  readonly busy: number;
  /** closed to make room for others, or refused because there was none */
  readonly shed: number;
}

/** One HTTP server without sockets of its own: give it accepted connections. */
export class HttpServer implements ConnectionOwner {
  readonly limits: HttpLimits;
  readonly handler: HttpHandler;
  readonly refuse: ConnectionOwner['refuse'];
  readonly common: string;
  readonly memory: BodyMemory;
  readonly #peerOf: HttpServerOptions['peerOf'];
  readonly #onMalformed: HttpServerOptions['onMalformed'];
  readonly #live = new Map<Socket, HttpConnection>();
  /** handlers that run */
  #handlers = 0;
  #closing = false;
  /** nobody is let in any more: a listener hands over what it had accepted when it was closed */
  #closed = false;
  #accepted = 0;
  #responses = 0;
  #shed = 0;
  #busy = 0;
  #sweeper: NodeJS.Timeout | undefined;

  constructor({ handler, limits, headers = {}, peerOf, onMalformed, refuse = tooBusy }: HttpServerOptions) {
    this.handler = handler;
    this.refuse = refuse;
    this.limits = { ...DEFAULT_LIMITS, ...limits };
    this.memory = new BodyMemory(this.limits.memory);
    this.common = Object.entries(headers)
      .map(([name, value]) => `${name}: ${value.replace(/[^\x20-\x7e]/g, '?')}\r\n`)
      .join('');
    this.#peerOf = peerOf;
    this.#onMalformed = onMalformed;
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#live.size;
  }

  get closing(): boolean {
    return this.#closing;
  }

  get counts(): HttpCounts {
    return {
      open: this.#live.size,
      accepted: this.#accepted,
      answers: this.#responses,
      handlers: this.#handlers,
      bodies: this.memory.held,
      busy: this.#busy,
      shed: this.#shed,
    };
  }

  enter(): boolean {
    if (this.#handlers >= this.limits.handlers) return false;
    this.#handlers++;
    return true;
  }

  leave(): void {
    this.#handlers--;
  }

  wasBusy(): void {
    this.#busy++;
  }

  refused(why: HttpSyntaxError, peer: string | undefined): void {
    this.#onMalformed?.(why, why.status, peer);
  }

  responded(): void {
    this.#responses++;
  }

  /** Takes over an accepted connection. */
  accept(socket: Socket): void {
    this.#accepted++;
    if (this.#closed || (this.#live.size >= this.limits.connections && !this.#makeRoom())) {
      this.#shed++;
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    this.#live.set(socket, new HttpConnection(socket, this, this.#peerOf?.(socket)));
    socket.on('close', () => this.#live.delete(socket));
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#period()).unref();
  }

  /**
   * Closes the connection that has been silent for longest and is not being served. So whoever holds many connections
   * open without using them loses them first, and a new client always gets in.
   */
  #makeRoom(): boolean {
    let chosen: [Socket, HttpConnection] | undefined;
    for (const entry of this.#live) {
      if (!entry[1].busy && (chosen === undefined || entry[1].heard < chosen[1].heard)) chosen = entry;
    }
    if (chosen === undefined) return false;
    this.#shed++;
    this.#live.delete(chosen[0]);
    chosen[1].destroy();
    return true;
  }

  /** A quarter of the shortest limit: nobody gets much more time than that. */
  #period(): number {
    const { idle, request, linger } = this.limits;
    return Math.min(1000, Math.max(20, Math.min(idle || request, request, linger) / 4));
  }

  #sweep(): void {
    if (this.#live.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
      return;
    }
    const now = performance.now();
    for (const connection of this.#live.values()) if (connection.expired(now)) connection.expire();
  }

  /** Lets running responses finish (at most `graceMs`) and new clients ask, closes idle connections at once. */
  async close(graceMs = 5000): Promise<void> {
    this.#closing = true;
    const started = Date.now();
    for (const connection of this.#live.values()) if (!connection.busy && !connection.expected) connection.destroy();
    while (this.#live.size > 0 && Date.now() < started + graceMs) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (Date.now() < started + ASKING_MS) continue;
      for (const connection of this.#live.values()) if (!connection.busy) connection.destroy();
    }
    this.#closed = true;
    for (const connection of this.#live.values()) connection.destroy();
    clearInterval(this.#sweeper);
  }
}

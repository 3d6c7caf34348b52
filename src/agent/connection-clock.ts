/** The limits of an HTTP connection, and the clock that enforces those of time. */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

export interface HttpLimits {
  /** bytes of a request body */
  readonly body: number;
  /** bytes of all request bodies at the same time: many large requests must not use up the memory of the guest */
  readonly memory: number;
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
  memory: 64 * 1024 * 1024,
  header: 16 * 1024,
  idle: 10_000,
  linger: 1000,
  request: 30_000,
  connections: 512,
};

type Phase = 'waiting' | 'receiving' | 'working' | 'sending';

/**
 * The clock of one connection. One sweep looks at all connections now and then: timers of their own would cost more than
 * the answers.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #limits: HttpLimits;
  /** the latest request */
  request: IncomingMessage | undefined;
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

  /** a request has begun and is not complete */
  get receiving(): boolean {
    return this.#phase === 'receiving' && this.request?.complete !== true;
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

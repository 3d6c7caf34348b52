/**
 * A listener that is kept alive: when it cannot listen or stops doing so, it is tried again with growing pauses, while the
 * other listeners go on. Its state is what /readyz shows.
 */
import type { Socket } from 'node:net';
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import type { InheritedSocket } from './activation.ts';
import { type Address, showAddress } from './address.ts';
import { type Bound, bind } from './bind.ts';
import type { HttpServer } from './http-server.ts';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;

export interface ListenerStatus {
  readonly name: string;
  readonly address: string;
  readonly state: 'listening' | 'failed' | 'stopped';
  /** handed over by the service manager */
  readonly inherited: boolean;
  readonly restarts: number;
  /** why it does not listen */
  readonly error?: string;
}

export interface ListenerOptions {
  readonly name: string;
  readonly address: Address;
  readonly inherited?: InheritedSocket | undefined;
  readonly http: HttpServer;
  /** first pause before another try in milliseconds; tests use a short one */
  readonly pauseMs?: number;
}

export class Listener {
  readonly name: string;
  readonly #options: ListenerOptions;
  #bound: Bound | undefined;
  #failure: string | undefined;
  #restarts = 0;
  #pause: number;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: ListenerOptions) {
    this.name = options.name;
    this.#options = options;
    this.#pause = options.pauseMs ?? FIRST_PAUSE_MS;
  }

  /** One try to listen; a failure is logged, kept for /readyz and tried again later. */
  async start(): Promise<boolean> {
    const { address, inherited, http, name } = this.#options;
    try {
      const accept = (socket: Socket) => http.accept(socket);
      this.#bound = await bind(address, inherited, accept, (failure) => this.#lost(failure));
      this.#failure = undefined;
      this.#pause = this.#options.pauseMs ?? FIRST_PAUSE_MS;
      ui.info(`${name}: listening on ${showAddress(this.#bound.address)}${inherited ? ' (inherited)' : ''}`);
      return true;
    } catch (thrown) {
      const failure = errorChain(thrown);
      // the same failure again is no news: a machine without vsock would fill the journal with it
      ui.log(
        failure === this.#failure ? 'debug' : 'error',
        `${name}: ${failure}; next try in ${ui.duration(this.#pause)}`,
      );
      this.#failure = failure;
      this.#again();
      return false;
    }
  }

  #lost(failure: Error): void {
    this.#failure = errorChain(failure);
    ui.error(`${this.name}: stopped listening: ${this.#failure}`);
    const bound = this.#bound;
    this.#bound = undefined;
    void bound?.close();
    this.#again();
  }

  #again(): void {
    if (this.#stopped) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#restarts++;
      void this.start();
    }, this.#pause);
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE_MS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const bound = this.#bound;
    this.#bound = undefined;
    await bound?.close();
  }

  /** The address in use, once it listens. */
  get address(): Address | undefined {
    return this.#bound?.address;
  }

  status(): ListenerStatus {
    return {
      name: this.name,
      address: showAddress(this.#bound?.address ?? this.#options.address),
      state: this.#bound ? 'listening' : this.#stopped ? 'stopped' : 'failed',
      inherited: this.#options.inherited !== undefined,
      restarts: this.#restarts,
      ...(this.#failure === undefined ? {} : { error: this.#failure }),
    };
  }
}

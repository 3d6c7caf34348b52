/**
 * A listener that is kept alive: when it cannot listen or stops doing so, it is tried again with growing pauses, while the
 * other listeners go on. Its state is what /readyz shows.
 */
import type { Socket } from 'node:net';
import { errorChain } from '../../errors.ts';
import type { HttpCounts, HttpServer } from '../../http/http.ts';
import { dropDescriptor } from '../../sys/notify.ts';
import * as ui from '../../ui.ts';
import { giveUp, type InheritedSocket, keptName } from './activation.ts';
import { type Address, showAddress } from './address.ts';
import { type Bound, bind, fits } from './bind.ts';
import { probe } from './probe.ts';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;

export interface ListenerStatus {
  readonly name: string;
  readonly address: string;
  /** `unresponsive`: it listens, but did not answer our own request */
  readonly state: 'listening' | 'unresponsive' | 'failed' | 'stopped';
  /** handed over by the service manager */
  readonly inherited: boolean;
  readonly restarts: number;
  readonly connections?: HttpCounts;
  /** why it does not listen */
  readonly error?: string;
}

export interface ListenerOptions {
  readonly name: string;
  readonly address: Address;
  /** from a socket unit */
  readonly activated?: InheritedSocket | undefined;
  /** made by an earlier agent and kept by the service manager */
  readonly kept?: InheritedSocket | undefined;
  readonly http: HttpServer;
  /** the app cannot do without it; default false */
  readonly required?: boolean;
  /** path of our own request to it, answered with any status below 500, or 503 while it is busy */
  readonly probePath?: string;
  /** milliseconds for the answer to our own request; tests use a short one */
  readonly probeMs?: number;
  /** first pause before another try in milliseconds; tests use a short one */
  readonly pauseMs?: number;
}

export class Listener {
  readonly name: string;
  readonly required: boolean;
  readonly #options: ListenerOptions;
  #bound: Bound | undefined;
  #kept: InheritedSocket | undefined;
  #failure: string | undefined;
  #restarts = 0;
  #pause: number;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** a try to listen that is under way */
  #starting: Promise<boolean> | undefined;
  #unresponsive = false;

  constructor(options: ListenerOptions) {
    this.name = options.name;
    this.required = options.required ?? false;
    this.#options = options;
    this.#kept = options.kept;
    this.#pause = options.pauseMs ?? FIRST_PAUSE_MS;
  }

  /**
   * One try to listen; a failure is logged, kept for /readyz and tried again later. Two calls at the same time are one try.
   * @returns whether it listens; false when it was stopped meanwhile
   */
  start(): Promise<boolean> {
    this.#starting ??= this.#start().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  async #start(): Promise<boolean> {
    if (this.#stopped) return false;
    const { address, activated, http, name } = this.#options;
    const kept = this.#kept;
    this.#kept = undefined; // whatever comes of it, a second try would find its descriptor closed
    try {
      const usable = kept !== undefined && activated === undefined && (await fits(address, kept));
      if (kept !== undefined && !usable) await giveUp(name, kept.fd);
      const bound = await bind({
        name,
        address,
        activated,
        kept: usable ? kept : undefined,
        onConnection: (socket: Socket) => http.accept(socket),
        onFailure: (failure) => this.#lost(failure),
      });
      if (this.#stopped) {
        await bound.close();
        return false;
      }
      this.#bound = bound;
      this.#failure = undefined;
      this.#unresponsive = false;
      this.#pause = this.#options.pauseMs ?? FIRST_PAUSE_MS;
      ui.info(`${name}: listening on ${showAddress(bound.address)}${bound.inherited ? ' (inherited)' : ''}`);
      return true;
    } catch (thrown) {
      const failure = errorChain(thrown);
      if (kept !== undefined) this.#drop();
      if (this.#stopped) return false;
      // the same failure again is not logged: a machine without vsock would fill the journal with it
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
    if (bound?.kept) this.#drop();
    this.#again();
  }

  /** The service manager forgets this socket: the next one has its name. */
  #drop(): void {
    dropDescriptor(keptName(this.name)).catch((thrown) => ui.warn(`${this.name}: ${errorChain(thrown)}`));
  }

  /**
   * Asks it over a connection of our own. One that does not answer is opened again; one of a socket unit cannot
   * be, since its descriptor ends with it: for that the service manager starts the process again.
   * @returns why it does not serve, or undefined
   */
  async check(): Promise<string | undefined> {
    const bound = this.#bound;
    if (bound === undefined) return this.#failure ?? 'it does not listen';
    try {
      await probe(bound.address, this.#options.probePath ?? '/', this.#options.probeMs);
      this.#unresponsive = false;
      this.#failure = undefined;
      return undefined;
    } catch (thrown) {
      const reason = errorChain(thrown);
      if (this.#bound !== bound || this.#stopped) return reason;
      if (this.#options.activated === undefined) this.#lost(thrown as Error);
      else {
        if (!this.#unresponsive) ui.error(`${this.name}: does not answer: ${reason}`);
        this.#unresponsive = true;
        this.#failure = reason;
      }
      return reason;
    }
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

  /** Ends it for good, a try that is under way too: afterwards nothing of it listens, and its own socket file is gone. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#starting;
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
      state: this.#bound ? (this.#unresponsive ? 'unresponsive' : 'listening') : this.#stopped ? 'stopped' : 'failed',
      inherited: this.#bound?.inherited ?? this.#options.activated !== undefined,
      restarts: this.#restarts,
      connections: this.#options.http.counts,
      ...(this.#failure === undefined ? {} : { error: this.#failure }),
    };
  }
}

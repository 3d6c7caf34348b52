/**
 * Tells the host how the boot goes, in order and best effort: a notification never delays a phase and never fails the
 * boot. Events wait in a small queue until the address is known; the queue is emptied, with a bound, before the process ends.
 */
import { errorChain } from '../errors.ts';
import { fitPayload, notifyHost } from '../net/net.ts';
import { effect, isDryRun } from '../sys/effects.ts';
import type { PlatformName } from '../tdx/platform.ts';
import * as ui from '../ui.ts';

/** How one event reaches the host; the default speaks to the host API. */
export type Deliver = (url: string, event: string, payload: string, signal: AbortSignal) => Promise<unknown>;

/** More than this is never waiting in a sound boot; it bounds the memory when the host does not answer. */
const MAX_WAITING = 256;

export class HostNotifier {
  readonly #deliver: Deliver;
  readonly #waiting: { event: string; payload: string }[] = [];
  #abort = new AbortController();
  #url: string | undefined;
  #worker: Promise<void> = Promise.resolve();
  #working = false;
  #complained = false;

  constructor(deliver?: Deliver, platform: PlatformName = 'unknown') {
    this.#deliver = deliver ?? ((url, event, payload, signal) => notifyHost(url, event, payload, { platform, signal }));
  }

  /** true once an address is known */
  get connected(): boolean {
    return this.#url !== undefined;
  }

  /** Gives the address (`host_api_url`); events that came before it are sent now. Without an address they keep waiting. */
  open(url: string | undefined): void {
    if (!url) return;
    this.#url = url;
    this.#work();
  }

  /** Queues one event. The payload is cut to what the VMM accepts. */
  send(event: string, payload: string): void {
    if (isDryRun()) {
      void effect(`notify the host: ${event} ${payload}`, undefined, async () => undefined);
      return;
    }
    if (this.#waiting.length >= MAX_WAITING) return;
    this.#waiting.push({ event, payload: fitPayload(payload) });
    this.#work();
  }

  progress(text: string): void {
    this.send('boot.progress', text);
  }

  /**
   * Waits until everything was sent, at most `timeoutMs`; what is left then is given up.
   * @returns true when nothing was left
   */
  async flush(timeoutMs: number): Promise<boolean> {
    if (!this.#working) return this.#waiting.length === 0;
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    const done = await Promise.race([this.#worker.then(() => true), bound]);
    clearTimeout(timer);
    if (!done) {
      ui.warn(`the host did not take ${this.#waiting.length + 1} notifications within ${ui.duration(timeoutMs)}`);
      this.#waiting.length = 0;
      this.#abort.abort();
      this.#abort = new AbortController();
    }
    return done;
  }

  #work(): void {
    if (this.#working || this.#url === undefined || this.#waiting.length === 0) return;
    this.#working = true;
    this.#worker = this.#empty(this.#url);
  }

  async #empty(url: string): Promise<void> {
    const { signal } = this.#abort;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        await this.#deliver(url, next.event, next.payload, signal);
      } catch (thrown) {
        if (signal.aborted) break;
        const text = `the host was not told ${next.event}: ${errorChain(thrown)}`;
        // one warning is news, forty are noise
        if (this.#complained) ui.debug(text);
        else ui.warn(text);
        this.#complained = true;
      }
    }
    this.#working = false;
  }
}

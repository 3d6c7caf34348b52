/** One request as the services see it. */
import { EMPTY_BODY } from './body.ts';
import type { RequestHead } from './head.ts';
import type { HttpRequest } from './types.ts';

export class IncomingRequest implements HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly peer: string;
  readonly #body: Uint8Array | Error;
  #controller: AbortController | undefined;
  #aborted = false;

  /** @param body the complete body, or why there is none */
  constructor(head: RequestHead, body: Uint8Array | Error = EMPTY_BODY, peer = '') {
    this.method = head.method;
    this.path = head.path;
    this.query = head.query;
    this.headers = head.headers;
    this.peer = peer;
    this.#body = body;
  }

  /** Made on demand: most services never ask. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#aborted) this.#controller.abort();
    return this.#controller.signal;
  }

  abort(): void {
    this.#aborted = true;
    this.#controller?.abort();
  }

  body(): Uint8Array {
    if (this.#body instanceof Error) throw this.#body;
    return this.#body;
  }
}

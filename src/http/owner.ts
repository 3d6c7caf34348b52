import type { DstackError } from '../errors.ts';
import type { HttpLimits } from './limits.ts';
import type { BodyMemory } from './memory.ts';
import type { HttpSyntaxError } from './syntax.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from './types.ts';

/** What a connection needs of the server it belongs to. */
export interface ConnectionOwner {
  readonly limits: HttpLimits;
  readonly handler: HttpHandler;
  /** answers in the place of the handler when too many handlers run */
  readonly refuse: (request: HttpRequest, why: DstackError) => Promise<HttpResponse>;
  /** header lines of every response */
  readonly common: string;
  /** no further request is taken */
  readonly closing: boolean;
  readonly memory: BodyMemory;
  /** asks for a place among the handlers that run; false = there is none */
  enter(): boolean;
  leave(): void;
  /** counts a request that found no place or no memory */
  wasBusy(): void;
  /** counts a response */
  responded(): void;
  /** told of bytes that are not a request */
  refused(why: HttpSyntaxError, peer: string | undefined): void;
}

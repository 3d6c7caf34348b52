/**
 * Bytes of one connection to requests (RFC 9112): push what came in, then ask for the next event until there is none. It
 * knows nothing of sockets and time; connection.ts does.
 */
import { DstackError } from '../errors.ts';
import { BodyReader, EMPTY_BODY, payloadTooLarge } from './body.ts';
import { parseHead, type RequestHead } from './head.ts';
import { PREFACE_LINE } from './http2.ts';
import type { HttpLimits } from './limits.ts';
import { type BodyMemory, Reservation } from './memory.ts';
import { HttpSyntaxError } from './syntax.ts';

export type RequestEvent =
  /** a complete request; whoever takes it releases the reservation, which holds the bytes of the body */
  | {
      readonly kind: 'request';
      readonly head: RequestHead;
      readonly body: Uint8Array;
      readonly reservation: Reservation | undefined;
    }
  /** the client waits before it sends its body */
  | { readonly kind: 'continue' }
  /** a request without its body, which is too large or finds no memory. The reader is done. `unread` bytes of it are still to come */
  | { readonly kind: 'refused'; readonly head: RequestHead; readonly error: DstackError; readonly unread: number }
  /** the client speaks HTTP/2; `rest` is what came behind the line that says so. The reader is done */
  | { readonly kind: 'http2'; readonly rest: Buffer }
  /** bytes that are not HTTP. The reader is done */
  | { readonly kind: 'malformed'; readonly error: HttpSyntaxError };

const CR = 0x0d;
const LF = 0x0a;
const PREFACE = Buffer.from(`${PREFACE_LINE}\r\n\r\n`, 'latin1');
const END_OF_HEAD = Buffer.from('\r\n\r\n', 'latin1');
const CONTINUE: RequestEvent = { kind: 'continue' };

export class RequestReader {
  readonly #limits: Pick<HttpLimits, 'header' | 'body'>;
  readonly #memory: BodyMemory;
  /** bytes that are not read yet: of the request that is coming in, or of the ones behind it */
  #input: Buffer | undefined;
  #head: RequestHead | undefined;
  #body: BodyReader | undefined;
  #reservation: Reservation | undefined;
  /** clients repeat their head word for word */
  #lastBytes: Buffer | undefined;
  #lastHead: RequestHead | undefined;
  /** leading bytes of `#input` that are known to hold no bare line feed */
  #checked = 0;
  #done = false;

  constructor(limits: Pick<HttpLimits, 'header' | 'body'>, memory: BodyMemory) {
    this.#limits = limits;
    this.#memory = memory;
  }

  /** Bytes that wait to be read. */
  get buffered(): number {
    return this.#input?.length ?? 0;
  }

  /** Part of a request has come in. */
  get started(): boolean {
    return this.#head !== undefined || this.#input !== undefined;
  }

  /** Takes what came in. Nothing is copied unless a piece waits already. */
  push(data: Buffer): void {
    if (!this.#done) this.#input = this.#input === undefined ? data : Buffer.concat([this.#input, data]);
  }

  /** The next event; undefined when more bytes must come first. */
  next(): RequestEvent | undefined {
    if (this.#done) return undefined;
    try {
      if (this.#head === undefined && this.#lastHead === undefined && this.#prefaced()) return this.#leave();
      this.#head ??= this.#readHead();
      return this.#head === undefined ? undefined : this.#readBody(this.#head);
    } catch (thrown) {
      return this.#failed(thrown);
    }
  }

  /** Why a client that ends its side now has sent only a part of a request. */
  incomplete(): HttpSyntaxError {
    if (this.#head === undefined) return new HttpSyntaxError(400, 'header', 'the request ends inside its header');
    return new HttpSyntaxError(400, 'body', 'the request ends inside its body');
  }

  /** Forgets everything: no more will be read, and what is held for a request that never came to its end is given back. */
  end(): void {
    this.#done = true;
    this.#reservation?.release();
    this.#input = this.#head = this.#body = this.#reservation = undefined;
  }

  /** A connection begins as one of HTTP/2 does. */
  #prefaced(): boolean {
    const input = this.#input;
    return input !== undefined && input[0] === PREFACE[0] && input.subarray(0, PREFACE.length).equals(PREFACE);
  }

  #leave(): RequestEvent {
    const behind = this.#input?.subarray(PREFACE.length) ?? Buffer.alloc(0);
    this.end();
    return { kind: 'http2', rest: behind };
  }

  #readHead(): RequestHead | undefined {
    let input = this.#input;
    // an empty line before a request line is ignored (RFC 9112, section 2.2)
    while (input !== undefined && input[0] === 0x0d && input[1] === 0x0a) {
      input = rest(input, 2);
      this.#checked = 0;
    }
    this.#input = input;
    if (input === undefined) return undefined;
    const last = this.#lastBytes;
    if (last !== undefined && input.length >= last.length && last.compare(input, 0, last.length) === 0) {
      this.#checked = 0;
      this.#input = rest(input, last.length);
      return this.#lastHead;
    }
    const end = input.indexOf(END_OF_HEAD);
    const { header } = this.#limits;
    this.#refuseBareLineFeed(input, Math.min(header, end < 0 ? input.length : end));
    // without its end, all but the last three bytes are known to be header
    if (end > header || (end < 0 && input.length - (END_OF_HEAD.length - 1) > header))
      throw new HttpSyntaxError(431, 'header', `the header is longer than ${header} bytes`);
    if (end < 0) return undefined;
    this.#checked = 0;
    this.#lastHead = parseHead(input.toString('latin1', 0, end));
    this.#lastBytes = Buffer.from(input.subarray(0, end + 4)); // a copy: the bytes behind it hold secrets
    this.#input = rest(input, end + 4);
    return this.#lastHead;
  }

  /** Who ends lines like that will never send the end of a header: it is told at once instead of being waited for. */
  #refuseBareLineFeed(input: Buffer, end: number): void {
    for (let at = input.indexOf(LF, this.#checked); at >= 0 && at < end; at = input.indexOf(LF, at + 1))
      if (input[at - 1] !== CR) throw new HttpSyntaxError(400, 'header', 'a line ends without a carriage return');
    this.#checked = end;
  }

  #readBody(head: RequestHead): RequestEvent | undefined {
    const { framing } = head;
    const input = this.#input;
    if (this.#body === undefined && framing.kind === 'length' && framing.length <= (input?.length ?? 0)) {
      // the usual case: all of it came with the head
      if (framing.length === 0) return this.#complete(head, EMPTY_BODY);
      if (framing.length > this.#limits.body) throw payloadTooLarge(this.#limits.body);
      this.#reservation = new Reservation(this.#memory);
      this.#reservation.grow(framing.length);
      this.#input = rest(input as Buffer, framing.length);
      return this.#complete(head, (input as Buffer).subarray(0, framing.length));
    }
    if (this.#body === undefined) {
      this.#reservation = new Reservation(this.#memory);
      this.#body = new BodyReader(framing, this.#limits.body, this.#reservation);
      if (head.expectsContinue && input === undefined) return CONTINUE;
    }
    const body = this.#body;
    if (input !== undefined) this.#input = rest(input, body.push(input));
    return body.done ? this.#complete(head, body.bytes()) : undefined;
  }

  #complete(head: RequestHead, body: Uint8Array): RequestEvent {
    const reservation = this.#reservation;
    this.#head = this.#body = this.#reservation = undefined;
    return { kind: 'request', head, body, reservation };
  }

  #failed(thrown: unknown): RequestEvent {
    const head = this.#head;
    const read = (this.#body?.size ?? 0) + this.buffered;
    this.end();
    if (thrown instanceof HttpSyntaxError) return { kind: 'malformed', error: thrown };
    if (head === undefined || !(thrown instanceof DstackError)) throw thrown;
    const unread = head.framing.kind === 'length' ? head.framing.length - read : Number.POSITIVE_INFINITY;
    return { kind: 'refused', head, error: thrown, unread };
  }
}

const rest = (input: Buffer, from: number): Buffer | undefined =>
  from >= input.length ? undefined : input.subarray(from);

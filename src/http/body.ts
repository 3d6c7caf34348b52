/** Reading a request body piece by piece, with a known length or in chunks (RFC 9112, sections 6 and 7), within a limit. */
import { DstackError } from '../errors.ts';
import { checkTrailer } from './fields.ts';
import type { Framing } from './head.ts';
import type { Reservation } from './memory.ts';
import { HttpSyntaxError } from './syntax.ts';

/** No bytes; this room knows no codec. */
export const EMPTY_BODY = new Uint8Array(0);
/** a chunk size has at most 8 hex digits; extensions and trailers are read and dropped, so they are short as well */
const LONGEST_LINE = 1024;
const MOST_TRAILERS = 64;
const SMALLEST_BUFFER = 4096;
/** Size and extensions (RFC 9112, section 7.1.1), without the white space that is allowed and never sent. */
const TOKEN = "[!#$%&'*+\\-.^_`|~0-9A-Za-z]+";
const QUOTED = '"(?:[\\t !#-\\[\\]-~\\x80-\\xff]|\\\\[\\t -~\\x80-\\xff])*"';
const CHUNK_SIZE = new RegExp(`^([0-9A-Fa-f]{1,8})(?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)*$`);

export const payloadTooLarge = (limit: number): DstackError =>
  new DstackError('RPC_PAYLOAD_TOO_LARGE', 'failed to read data: payload too large', { field: 'body', value: limit });

type Chunked = 'size' | 'data' | 'after-data' | 'trailer';

export class BodyReader {
  readonly #chunked: boolean;
  readonly #limit: number;
  readonly #reservation: Reservation;
  /** the first `#total` bytes of it are the body; grows by doubling, because an announced length may be a lie */
  #buffer: Uint8Array = EMPTY_BODY;
  #total = 0;
  /** bytes of the body, or of the current chunk, that are still to come */
  #need: number;
  #state: Chunked = 'size';
  #line = '';
  #trailers = 0;
  #done: boolean;

  /**
   * @param limit bytes
   * @param reservation grows with the memory that the body takes
   * @throws RPC_PAYLOAD_TOO_LARGE when the announced length is beyond the limit
   */
  constructor(framing: Framing, limit: number, reservation: Reservation) {
    this.#limit = limit;
    this.#reservation = reservation;
    this.#chunked = framing.kind === 'chunked';
    this.#need = framing.kind === 'length' ? framing.length : 0;
    this.#done = framing.kind === 'length' && framing.length === 0;
    if (this.#need > limit) throw payloadTooLarge(limit);
  }

  get done(): boolean {
    return this.#done;
  }

  /** Bytes of the body so far. */
  get size(): number {
    return this.#total;
  }

  /** The whole body, once it is done. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#total);
  }

  /**
   * Takes bytes from the connection. @returns how many of them belong to this request
   * @throws RPC_PAYLOAD_TOO_LARGE; RPC_BUSY when there is no memory left; HttpSyntaxError for a malformed chunk
   */
  push(input: Uint8Array): number {
    if (this.#done) return 0;
    return this.#chunked ? this.#pushChunked(input) : this.#take(input, 0);
  }

  #take(input: Uint8Array, from: number): number {
    const end = Math.min(input.length, from + this.#need);
    const count = end - from;
    if (count === 0) return 0;
    if (this.#total + count > this.#limit) throw payloadTooLarge(this.#limit);
    this.#need -= count;
    if (this.#need === 0 && !this.#chunked) this.#done = true;
    // most bodies arrive in one piece, and then nothing is copied
    if (this.#done && this.#total === 0) {
      this.#reservation.grow(count);
      this.#buffer = input.subarray(from, end);
    } else this.#append(input.subarray(from, end));
    this.#total += count;
    return count;
  }

  /**
   * Many small pieces become one buffer at once: a list of them would cost far more memory than their bytes. A body whose
   * length is known never gets more than that length.
   */
  #append(piece: Uint8Array): void {
    const size = this.#total + piece.length;
    if (size > this.#buffer.length) {
      const most = this.#chunked ? this.#limit : size + this.#need;
      const capacity = Math.min(most, Math.max(size, 2 * this.#buffer.length, SMALLEST_BUFFER));
      this.#reservation.grow(capacity - this.#buffer.length);
      const larger = new Uint8Array(capacity);
      larger.set(this.#buffer.subarray(0, this.#total));
      this.#buffer = larger;
    }
    this.#buffer.set(piece, this.#total);
  }

  #pushChunked(input: Uint8Array): number {
    let at = 0;
    while (at < input.length && !this.#done) {
      if (this.#state === 'data') {
        at += this.#take(input, at);
        if (this.#need === 0) this.#state = 'after-data';
        continue;
      }
      const end = input.indexOf(0x0a, at);
      const stop = end < 0 ? input.length : end + 1;
      this.#line += Buffer.from(input.buffer, input.byteOffset + at, stop - at).toString('latin1');
      at = stop;
      if (this.#line.length > LONGEST_LINE) throw new HttpSyntaxError(400, 'body', 'a chunk is malformed');
      if (end >= 0) this.#endOfLine();
    }
    return at;
  }

  #endOfLine(): void {
    const line = this.#line;
    this.#line = '';
    if (!line.endsWith('\r\n')) throw new HttpSyntaxError(400, 'body', 'a chunk is malformed');
    const text = line.slice(0, -2);
    if (this.#state === 'after-data') {
      if (text !== '') throw new HttpSyntaxError(400, 'body', 'a chunk is longer than announced');
      this.#state = 'size';
    } else if (this.#state === 'size') {
      const size = CHUNK_SIZE.exec(text)?.[1];
      if (size === undefined) throw new HttpSyntaxError(400, 'body', 'a chunk size is malformed');
      this.#need = Number.parseInt(size, 16);
      this.#state = this.#need === 0 ? 'trailer' : 'data';
      if (this.#total + this.#need > this.#limit) throw payloadTooLarge(this.#limit);
    } else if (text === '') this.#done = true;
    else {
      if (++this.#trailers > MOST_TRAILERS) throw new HttpSyntaxError(400, 'body', 'there are too many trailer fields');
      checkTrailer(text);
    }
  }
}

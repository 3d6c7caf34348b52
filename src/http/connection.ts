/**
 * One HTTP/1.1 connection: requests one after the other, each with its limits of bytes and time. Our own instead of
 * node:http, which takes inherited and vsock descriptors only on a slow way that also drops its limits.
 */
import type { Socket } from 'node:net';
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { answerHead, refusal } from './answer.ts';
import { BodyReader, payloadTooLarge } from './body.ts';
import { Exchange } from './exchange.ts';
import { HttpSyntaxError, parseHead, type RequestHead } from './head.ts';
import type { HttpLimits } from './limits.ts';
import { sendStream } from './stream.ts';
import type { HttpHandler, HttpResponse } from './types.ts';

/** What a connection needs of the server it belongs to. */
export interface ConnectionOwner {
  readonly limits: HttpLimits;
  readonly handler: HttpHandler;
  /** header lines of every answer */
  readonly common: string;
  /** no further request is taken */
  readonly closing: boolean;
  /** asks for memory for bytes of a body; false = there is none left for bodies now */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
  /** counts an answer */
  answered(): void;
}

type Phase = 'waiting' | 'receiving' | 'working' | 'sending' | 'streaming' | 'lingering' | 'ending';

const END_OF_HEAD = Buffer.from('\r\n\r\n', 'latin1');
/** an answer up to this size leaves in one piece with its head */
const ONE_PIECE = 65_536;

export class HttpConnection {
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #peer: string | undefined;
  #phase: Phase = 'waiting';
  /** when the phase began, and when the last byte came; milliseconds of performance.now() */
  #since = performance.now();
  #heard = this.#since;
  /** bytes that are not read yet: of the request that is coming in, or of the ones behind the current one */
  #input: Buffer | undefined;
  #head: RequestHead | undefined;
  #reader: BodyReader | undefined;
  /** clients repeat their head word for word */
  #lastBytes: Buffer | undefined;
  #lastHead: RequestHead | undefined;
  #exchange: Exchange | undefined;
  #held = 0;
  #answered = 0;
  #paused = false;
  #peerEnded = false;
  /** bytes of a refused body that are still announced */
  #unwanted = Number.POSITIVE_INFINITY;

  constructor(socket: Socket, owner: ConnectionOwner, peer?: string) {
    this.#socket = socket;
    this.#owner = owner;
    this.#peer = peer;
    socket.on('data', (data: Buffer) => this.#received(data));
    socket.on('end', () => this.#ended());
    socket.on('close', () => this.#closed());
    socket.on('error', () => socket.destroy()); // a reset by the other side is its own business
  }

  /** A request is being served: not to be cut off without need. */
  get busy(): boolean {
    return this.#phase === 'working' || this.#phase === 'sending' || this.#phase === 'streaming';
  }

  /** A request may be on its way that nobody has answered yet: a new connection, or one in the middle of a request. */
  get expected(): boolean {
    return this.#phase === 'receiving' || (this.#phase === 'waiting' && this.#answered === 0);
  }

  /** When the other side was last heard, for whoever has to choose a connection to give up. */
  get heard(): number {
    return this.#heard;
  }

  /** True when the other side has used up its time. How long an answer takes is not the client's fault. */
  expired(now: number): boolean {
    const { idle, request, linger } = this.#owner.limits;
    const age = now - this.#since;
    const silence = now - this.#heard;
    if (this.#phase === 'waiting') return silence > (idle || request);
    if (this.#phase === 'receiving') return age > request || silence > (idle || request);
    if (this.#phase === 'sending') return age > request;
    if (this.#phase === 'lingering') return age > linger;
    return this.#phase === 'ending' && age > Math.max(linger, 1000);
  }

  /** Ends the connection in the way that its state asks for. */
  expire(): void {
    if (this.#phase === 'lingering') this.#end();
    else this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#since = performance.now();
  }

  #received(data: Buffer): void {
    this.#heard = performance.now();
    if (this.#phase === 'ending') return;
    if (this.#phase === 'lingering') {
      this.#unwanted -= data.length;
      if (this.#unwanted <= 0) this.#end();
      return;
    }
    this.#input = this.#input === undefined ? data : Buffer.concat([this.#input, data]);
    if (!this.busy) this.#read();
    else if (this.#input.length > this.#owner.limits.header && !this.#paused) {
      this.#paused = true; // the next requests wait in the kernel
      this.#socket.pause();
    }
  }

  /** Reads on until a request is complete or the bytes are used up. */
  #read(): void {
    try {
      if (this.#head === undefined && !this.#readHead()) return;
      const head = this.#head as RequestHead;
      if (head.framing.kind === 'length' && head.framing.length === 0) this.#serve(head, undefined);
      else this.#readBody(head);
    } catch (thrown) {
      if (thrown instanceof HttpSyntaxError) this.#refuse(thrown);
      else if (this.#head !== undefined) this.#serveRefusedBody(this.#head, thrown as Error);
      else throw thrown;
    }
  }

  #readHead(): boolean {
    let input = this.#input;
    // an empty line before a request line is ignored (RFC 9112, section 2.2)
    while (input !== undefined && input[0] === 0x0d && input[1] === 0x0a) input = rest(input, 2);
    this.#input = input;
    if (input === undefined) return false;
    if (this.#phase === 'waiting') this.#enter('receiving');
    const last = this.#lastBytes;
    if (last !== undefined && input.length >= last.length && last.compare(input, 0, last.length) === 0) {
      this.#head = this.#lastHead;
      this.#input = rest(input, last.length);
      return true;
    }
    const end = input.indexOf(END_OF_HEAD);
    const { header } = this.#owner.limits;
    if (end > header || (end < 0 && input.length > header))
      throw new HttpSyntaxError(431, 'the header is longer than the limit');
    if (end < 0) return false;
    this.#head = parseHead(input.toString('latin1', 0, end));
    this.#lastHead = this.#head;
    this.#lastBytes = Buffer.from(input.subarray(0, end + 4)); // a copy: the bytes behind it hold secrets
    this.#input = rest(input, end + 4);
    return true;
  }

  #readBody(head: RequestHead): void {
    const { limits } = this.#owner;
    const { framing } = head;
    const input = this.#input;
    if (this.#reader === undefined && framing.kind === 'length' && framing.length <= (input?.length ?? 0)) {
      // the usual case: all of it came with the head
      if (framing.length > limits.body) throw payloadTooLarge(limits.body);
      this.#held += framing.length;
      if (!this.#owner.reserve(framing.length)) throw payloadTooLarge(limits.body);
      this.#input = rest(input as Buffer, framing.length);
      this.#serve(head, (input as Buffer).subarray(0, framing.length));
      return;
    }
    if (this.#reader === undefined) {
      this.#reader = new BodyReader(framing, limits.body);
      if (head.expectsContinue && this.#input === undefined) this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    }
    const reader = this.#reader;
    if (this.#input !== undefined) {
      const before = reader.size;
      this.#input = rest(this.#input, reader.push(this.#input));
      const more = reader.size - before;
      this.#held += more;
      if (!this.#owner.reserve(more)) throw payloadTooLarge(limits.body);
    }
    if (reader.done) this.#serve(head, reader.bytes());
  }

  #serve(head: RequestHead, body: Uint8Array | Error | undefined, unread = false): void {
    this.#enter('working');
    this.#head = undefined;
    this.#reader = undefined;
    const exchange = new Exchange(head, body, this.#peer);
    this.#exchange = exchange;
    this.#owner.handler(exchange).then(
      (answer) => this.#answer(head, answer, unread),
      (thrown) => {
        ui.error(`request ${head.method} ${head.path} failed: ${errorChain(thrown)}`);
        this.#answer(
          head,
          { status: 500, headers: { 'content-type': 'text/plain' }, body: 'internal error\n' },
          unread,
        );
      },
    );
  }

  /** The service says why; what is still coming of the body is read and dropped. */
  #serveRefusedBody(head: RequestHead, why: Error): void {
    if (head.framing.kind === 'length')
      this.#unwanted = head.framing.length - (this.#reader?.size ?? 0) - (this.#input?.length ?? 0);
    this.#input = undefined;
    this.#serve(head, why, true);
  }

  #answer(head: RequestHead, answer: HttpResponse, unread: boolean): void {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    const socket = this.#socket;
    if (socket.destroyed) return;
    const { limits, closing, common } = this.#owner;
    const last = closing || unread || limits.idle === 0 || head.close || (this.#peerEnded && this.#input === undefined);
    const { body } = answer;
    const stream = typeof body !== 'string' && !(body instanceof Uint8Array);
    const length = stream ? (head.old ? 'until-close' : 'chunked') : body.length;
    const text = answerHead({ answer, common, last: last || length === 'until-close', body: length });
    if (stream && head.method !== 'HEAD') {
      this.#enter('streaming');
      this.#exchange = exchange;
      void sendStream(socket, text, body, { chunked: length === 'chunked', patience: limits.request }).then((whole) =>
        whole ? this.#finish(last || length === 'until-close', unread) : this.destroy(),
      );
      return;
    }
    this.#enter('sending');
    const taken = head.method === 'HEAD' || stream ? socket.write(text, 'latin1') : write(socket, text, body);
    if (taken) this.#finish(last, unread);
    else socket.once('drain', () => this.#finish(last, unread));
  }

  #finish(last: boolean, unread: boolean): void {
    this.#exchange = undefined;
    this.#answered++;
    this.#owner.answered();
    this.#owner.release(this.#held);
    this.#held = 0;
    if (this.#socket.destroyed) return;
    // closing a connection that has unread bytes resets it, and a reset destroys an answer the client has not read yet
    if (unread && this.#unwanted > 0 && !this.#peerEnded) {
      this.#enter('lingering');
      return;
    }
    if (last) {
      this.#end();
      return;
    }
    this.#enter('waiting');
    this.#heard = this.#since;
    if (this.#input !== undefined) this.#read();
    if (this.busy) return;
    if (this.#paused) {
      this.#paused = false;
      this.#socket.resume();
    }
    if (this.#peerEnded) this.#end();
  }

  /** Bytes that are not HTTP. */
  #refuse({ status }: HttpSyntaxError): void {
    // Some clients announce too short a body, and what is left of it looks like a broken request: it gets no answer,
    // because the client would take it for a part of the one before.
    if (this.#answered === 0) this.#socket.write(refusal(status), 'latin1');
    this.#head = undefined;
    this.#input = undefined;
    this.#end();
  }

  /** The other side will send no more. Requests that are complete are still answered. */
  #ended(): void {
    this.#peerEnded = true;
    // a stream may be silent for long, so that no write would show that nobody is there any more
    if (this.#phase === 'streaming') this.#exchange?.abort();
    if (this.#phase === 'receiving') this.destroy();
    else if (!this.busy) this.#end();
  }

  #end(): void {
    if (this.#phase === 'ending') return;
    this.#enter('ending');
    this.#input = undefined;
    if (this.#paused) this.#socket.resume();
    this.#socket.end();
  }

  #closed(): void {
    this.#exchange?.abort();
    this.#owner.release(this.#held);
    this.#held = 0;
    this.#input = undefined;
    this.#reader = undefined;
  }
}

const rest = (input: Buffer, from: number): Buffer | undefined =>
  from >= input.length ? undefined : input.subarray(from);

/** @returns false when the other side has to take some of it first */
function write(socket: Socket, head: string, body: Uint8Array | string): boolean {
  if (typeof body === 'string') return socket.write(head + body, 'latin1');
  if (body.length > ONE_PIECE) {
    socket.write(head, 'latin1');
    return socket.write(body);
  }
  const bytes = Buffer.allocUnsafe(head.length + body.length);
  bytes.write(head, 'latin1');
  bytes.set(body, head.length);
  return socket.write(bytes);
}

/**
 * The life of one HTTP/1.1 connection: one request after the other, each with its limits of time, and what happens when
 * either side ends it. What the bytes mean is reader.ts's business.
 */
import type { Socket } from 'node:net';
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { Activity } from './activity.ts';
import type { RequestHead } from './head.ts';
import { GREETING, Http2Refusal } from './http2.ts';
import { busy, type Reservation } from './memory.ts';
import type { ConnectionOwner } from './owner.ts';
import { RequestReader } from './reader.ts';
import { IncomingRequest } from './request.ts';
import { refusal, responseHead } from './response.ts';
import { discard, sendStream, sendWhole } from './send.ts';
import { HttpSyntaxError } from './syntax.ts';
import type { HttpResponse } from './types.ts';

/** What a request holds until its handler is done, whatever becomes of the connection. */
interface Held {
  readonly place: boolean;
  readonly reservation: Reservation | undefined;
}

const INTERNAL_ERROR: HttpResponse = {
  status: 500,
  headers: { 'content-type': 'text/plain' },
  body: 'internal error\n',
};

export class HttpConnection {
  readonly #socket: Socket;
  readonly #owner: ConnectionOwner;
  readonly #peer: string | undefined;
  readonly #reader: RequestReader;
  readonly #activity = new Activity();
  /** the request that is being served */
  #request: IncomingRequest | undefined;
  #responses = 0;
  #paused = false;
  #peerEnded = false;
  /** bytes of a refused body that are still to come; once there is such a body, no more requests are read */
  #unread: number | undefined;
  /** the client speaks HTTP/2 */
  #http2: Http2Refusal | undefined;

  constructor(socket: Socket, owner: ConnectionOwner, peer?: string) {
    this.#socket = socket;
    this.#owner = owner;
    this.#peer = peer;
    this.#reader = new RequestReader(owner.limits, owner.memory);
    socket.on('data', (data: Buffer) => this.#received(data));
    socket.on('end', () => this.#ended());
    socket.on('close', () => this.#closed());
    socket.on('error', () => socket.destroy()); // a reset by the other side is its own business
  }

  /** A request is being served: not to be cut off without need. */
  get busy(): boolean {
    return this.#activity.busy;
  }

  /** A request may be on its way that nobody has answered yet: a new connection, or one in the middle of a request. */
  get expected(): boolean {
    const { phase } = this.#activity;
    return phase === 'receiving' || (phase === 'waiting' && this.#responses === 0);
  }

  /** When the other side was last heard, for whoever has to choose a connection to give up. */
  get heard(): number {
    return this.#activity.heard;
  }

  /** True when the other side has used up its time. */
  expired(now: number): boolean {
    return this.#activity.expired(now, this.#owner.limits);
  }

  /** Ends the connection in the way that its state asks for. */
  expire(): void {
    if (this.#activity.phase === 'lingering' || this.#http2 !== undefined) this.#end();
    else this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #received(data: Buffer): void {
    this.#activity.hear();
    if (this.#activity.phase === 'ending') return;
    if (this.#http2 !== undefined) {
      this.#receivedHttp2(this.#http2, data);
      return;
    }
    if (this.#unread !== undefined) {
      this.#unread -= data.length;
      if (this.#activity.phase === 'lingering' && this.#unread <= 0) this.#end();
      return;
    }
    this.#reader.push(data);
    if (!this.busy) this.#read();
    else if (this.#reader.buffered > this.#owner.limits.header && !this.#paused) {
      this.#paused = true; // the next requests wait in the kernel
      this.#socket.pause();
    }
  }

  /** Reads on until a request is complete or the bytes are used up. */
  #read(): void {
    const event = this.#reader.next();
    if (event === undefined || event.kind === 'continue') {
      if (event !== undefined) this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      if (this.#reader.started && this.#activity.phase === 'waiting') this.#activity.enter('receiving');
    } else if (event.kind === 'request') this.#serve(event.head, event.body, event.reservation);
    else if (event.kind === 'refused') {
      this.#unread = event.unread; // read and dropped
      if (event.error.code === 'RPC_BUSY') this.#owner.wasBusy();
      this.#serve(event.head, event.error); // the service says why
    } else if (event.kind === 'http2') this.#beginHttp2(event.rest);
    else this.#refuse(event.error);
  }

  #serve(head: RequestHead, body: Uint8Array | Error, reservation?: Reservation): void {
    this.#activity.enter('working');
    const owner = this.#owner;
    const request = new IncomingRequest(head, body, this.#peer);
    this.#request = request;
    const held: Held = { place: owner.enter(), reservation };
    if (!held.place) {
      reservation?.release();
      owner.wasBusy();
    }
    const response = held.place
      ? owner.handler(request)
      : owner.refuse(request, busy(`${owner.limits.handlers} requests are being served`));
    response.then(
      (answer) => this.#respond(head, answer, held),
      (thrown) => {
        ui.error(`request ${head.method} ${head.path} failed: ${errorChain(thrown)}`);
        this.#respond(head, INTERNAL_ERROR, held);
      },
    );
  }

  /** The handler is done. Its memory and its place are free again as soon as it has no stream to write any more. */
  #respond(head: RequestHead, response: HttpResponse, held: Held): void {
    const request = this.#request;
    this.#request = undefined;
    const socket = this.#socket;
    const { body } = response;
    const whole = typeof body === 'string' || body instanceof Uint8Array;
    if (whole || head.method === 'HEAD' || socket.destroyed) {
      if (!whole) discard(body);
      this.#release(held);
      if (socket.destroyed) return;
    }
    const { limits, closing, common } = this.#owner;
    const length = whole ? body.length : head.http10 ? 'until-close' : 'chunked';
    const last =
      closing ||
      this.#unread !== undefined ||
      limits.idle === 0 ||
      head.close ||
      length === 'until-close' ||
      (this.#peerEnded && this.#reader.buffered === 0);
    const text = responseHead({ response, common, last, body: length });
    if (whole || head.method === 'HEAD') {
      this.#activity.enter('sending');
      const taken = head.method === 'HEAD' || !whole ? socket.write(text, 'latin1') : sendWhole(socket, text, body);
      if (taken) this.#finish(last);
      else socket.once('drain', () => this.#finish(last));
      return;
    }
    this.#activity.enter('streaming');
    this.#request = request;
    void sendStream(socket, text, body, { chunked: length === 'chunked', timeoutMs: limits.request }).then(
      (complete) => {
        this.#release(held);
        if (complete) this.#finish(last);
        else this.destroy();
      },
    );
  }

  #release({ place, reservation }: Held): void {
    reservation?.release();
    if (place) this.#owner.leave();
  }

  /** The response is on its way. @param last no request may follow */
  #finish(last: boolean): void {
    this.#request = undefined;
    this.#responses++;
    this.#owner.responded();
    if (this.#socket.destroyed) return;
    // closing a connection that has unread bytes resets it, and a reset destroys a response the client has not read yet
    if (this.#unread !== undefined && this.#unread > 0 && !this.#peerEnded) {
      this.#activity.enter('lingering');
      return;
    }
    if (last) {
      this.#end();
      return;
    }
    this.#activity.enter('waiting');
    if (this.#reader.buffered > 0) this.#read();
    if (this.busy) return;
    if (this.#paused) {
      this.#paused = false;
      this.#socket.resume();
    }
    if (this.#peerEnded) this.#end();
  }

  /** Bytes that are not HTTP. */
  #refuse(why: HttpSyntaxError): void {
    // Some clients announce too short a body, and what is left of it looks like a broken request: it gets no response,
    // because the client would take it for a part of the one before.
    if (this.#responses === 0) {
      this.#owner.refused(why, this.#peer);
      this.#socket.write(refusal(why, this.#owner.common), 'latin1');
    }
    this.#end();
  }

  #beginHttp2(rest: Buffer): void {
    this.#owner.refused(new HttpSyntaxError(505, 'version', 'only HTTP/1.1 is served here'), this.#peer);
    this.#http2 = new Http2Refusal();
    this.#activity.enter('receiving');
    this.#socket.write(GREETING);
    this.#receivedHttp2(this.#http2, rest);
  }

  /** What comes behind the refusal is read and dropped for a moment, so that the client gets to see it. */
  #receivedHttp2(http2: Http2Refusal, data: Buffer): void {
    const answer = http2.push(data);
    if (answer === undefined) return;
    this.#socket.write(answer);
    this.#activity.enter('lingering');
  }

  /** The other side will send no more. Requests that are complete are still answered. */
  #ended(): void {
    this.#peerEnded = true;
    const { phase } = this.#activity;
    // a stream may be silent for long, so that no write would show that nobody is there any more
    if (phase === 'streaming') this.#request?.abort();
    if (phase === 'receiving' && this.#http2 === undefined) this.#refuse(this.#reader.incomplete());
    else if (!this.busy) this.#end();
  }

  #end(): void {
    if (this.#activity.phase === 'ending') return;
    if (this.#http2 !== undefined) this.#socket.write(this.#http2.goodbye());
    this.#activity.enter('ending');
    this.#reader.end();
    if (this.#paused) this.#socket.resume();
    this.#socket.end();
  }

  #closed(): void {
    this.#request?.abort();
    this.#reader.end();
  }
}

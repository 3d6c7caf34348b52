/** Sending a response: whole, or chunk after chunk as fast as the other side takes it when its end is not known. */
import type { Socket } from 'node:net';
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { chunk, LAST_CHUNK } from './response.ts';

/** a response up to this size leaves in one piece with its head */
const ONE_PIECE = 65_536;

/** @returns false when the other side has to take some of it first */
export function sendWhole(socket: Socket, head: string, body: Uint8Array | string): boolean {
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

/** Ends the source of a stream that nobody will read. */
export function discard(body: AsyncIterable<Uint8Array>): void {
  body[Symbol.asyncIterator]()
    .return?.()
    .catch(() => {}); // it was never asked for anything
}

export interface StreamOptions {
  /** with chunk sizes; false for a client that knows only the end of the connection */
  readonly chunked: boolean;
  /** milliseconds for the other side to take a part */
  readonly timeoutMs: number;
}

/** @returns false when it was not sent to its end: the connection must then not be used again */
export async function sendStream(
  socket: Socket,
  head: string,
  body: AsyncIterable<Uint8Array>,
  { chunked, timeoutMs }: StreamOptions,
): Promise<boolean> {
  try {
    socket.write(head, 'latin1');
    for await (const bytes of body) {
      if (socket.destroyed) return false;
      if (bytes.length === 0) continue; // an empty chunk would end the response
      if (!socket.write(chunked ? chunk(bytes) : bytes) && !(await drained(socket, timeoutMs))) return false;
    }
    if (chunked) socket.write(LAST_CHUNK);
    return !socket.destroyed;
  } catch (thrown) {
    ui.warn(`a response broke off: ${errorChain(thrown)}`);
    return false;
  }
}

/** Waits until the other side has taken what was written. @returns false when it did not in time, or went away */
function drained(socket: Socket, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (whole: boolean) => {
      clearTimeout(timer);
      socket.removeListener('drain', taken);
      socket.removeListener('close', gone);
      resolve(whole);
    };
    const taken = () => settle(true);
    const gone = () => settle(false);
    const timer = setTimeout(gone, timeoutMs);
    socket.once('drain', taken);
    socket.once('close', gone);
  });
}

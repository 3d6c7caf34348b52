/** Sending an answer whose end is not known: chunk after chunk, as fast as the other side takes it. */
import type { Socket } from 'node:net';
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { chunk, LAST_CHUNK } from './answer.ts';

export interface StreamOptions {
  /** with chunk sizes; false for a client that knows only the end of the connection */
  readonly chunked: boolean;
  /** milliseconds for the other side to take a part */
  readonly patience: number;
}

/** @returns false when it was not sent to its end: the connection must then not be used again */
export async function sendStream(
  socket: Socket,
  head: string,
  body: AsyncIterable<Uint8Array>,
  { chunked, patience }: StreamOptions,
): Promise<boolean> {
  try {
    socket.write(head, 'latin1');
    for await (const bytes of body) {
      if (socket.destroyed) return false;
      if (bytes.length === 0) continue; // an empty chunk would end the answer
      if (!socket.write(chunked ? chunk(bytes) : bytes) && !(await drained(socket, patience))) return false;
    }
    if (chunked) socket.write(LAST_CHUNK);
    return !socket.destroyed;
  } catch (thrown) {
    ui.warn(`an answer broke off: ${errorChain(thrown)}`);
    return false;
  }
}

/** Waits until the other side has taken what was written. @returns false when it did not in time, or went away */
function drained(socket: Socket, patience: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (answer: boolean) => {
      clearTimeout(timer);
      socket.removeListener('drain', taken);
      socket.removeListener('close', gone);
      resolve(answer);
    };
    const taken = () => settle(true);
    const gone = () => settle(false);
    const timer = setTimeout(gone, patience);
    socket.once('drain', taken);
    socket.once('close', gone);
  });
}

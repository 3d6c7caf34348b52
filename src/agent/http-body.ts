/** The bytes of requests and answers: reading a body within a limit, sending an answer with or without an end in sight. */
import type * as http from 'node:http';
import { DstackError } from '../errors.ts';
import type { HttpResponse } from './http.ts';

/**
 * Reads a whole request body.
 * @param reserve asks for memory for some bytes; false = there is none left for bodies now
 * @throws RPC_PAYLOAD_TOO_LARGE, RPC_REQUEST_INVALID when it is cut off
 */
export async function readBody(
  request: http.IncomingMessage,
  limit: number,
  reserve: (bytes: number) => boolean,
): Promise<Uint8Array> {
  const tooLarge = () =>
    new DstackError('RPC_PAYLOAD_TOO_LARGE', 'failed to read data: payload too large', { field: 'body', value: limit });
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge();
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    let total = 0;
    request.on('data', (chunk: Uint8Array) => {
      total += chunk.length;
      if (total > limit || !reserve(chunk.length)) {
        request.pause();
        reject(tooLarge());
      } else chunks.push(chunk);
    });
    request.on('end', () =>
      resolve(chunks.length === 1 ? (chunks[0] as Uint8Array) : new Uint8Array(Buffer.concat(chunks))),
    );
    const cutOff = () =>
      reject(new DstackError('RPC_REQUEST_INVALID', 'the request ended before its body was complete'));
    request.on('aborted', cutOff);
    request.on('error', cutOff);
  });
}

/**
 * Sends an answer.
 * @param extra headers of the server
 * @param patience milliseconds for the other side to take a part of a stream
 * @param beforeEnd work between the last byte and the end of the answer
 */
export async function send(
  response: http.ServerResponse,
  headOnly: boolean,
  answer: HttpResponse,
  extra: Record<string, string>,
  patience: number,
  beforeEnd?: () => Promise<void>,
): Promise<void> {
  const headers: Record<string, string | number> = { ...extra, ...answer.headers };
  if (answer.body instanceof Uint8Array) {
    // the header set in full: Content-Length and no chunks, which hand-written clients depend on
    response.writeHead(answer.status, { ...headers, 'content-length': answer.body.length });
    if (beforeEnd !== undefined && !headOnly) {
      response.write(answer.body);
      await beforeEnd();
      response.end();
    } else response.end(headOnly ? undefined : answer.body);
    return;
  }
  response.writeHead(answer.status, headers);
  if (!headOnly) {
    for await (const chunk of answer.body) {
      if (response.destroyed) return;
      if (!response.write(chunk) && !(await drained(response, patience))) {
        response.destroy(); // the reader stopped reading
        return;
      }
    }
  }
  response.end();
}

/** Waits until the other side has taken what was written. @returns false when it did not in time, or went away */
function drained(response: http.ServerResponse, patience: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (answer: boolean) => {
      clearTimeout(timer);
      response.removeListener('drain', taken);
      response.removeListener('close', gone);
      resolve(answer);
    };
    const taken = () => settle(true);
    const gone = () => settle(false);
    const timer = setTimeout(gone, patience);
    response.once('drain', taken);
    response.once('close', gone);
  });
}

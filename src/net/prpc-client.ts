/**
 * Calls one method of a prpc service in JSON mode: `POST <base>/<Method>?json`, status 200 = success, an empty body is
 * null (services, prpc transport). The other side is not trusted: time, headers and body have limits, redirects are failures.
 */
import * as http from 'node:http';
import { DstackError, type ErrorCode } from '../errors.ts';
import { cutText, duration, printable } from '../ui.ts';
import type { TlsRules } from './tls.ts';
import { type Connection, connectEndpoint, type Endpoint, parseEndpoint } from './transport.ts';

export interface CallOptions {
  /** limit for the whole call in milliseconds, default 30 000 */
  readonly timeoutMs?: number;
  /** largest accepted answer in bytes, default 1 MiB */
  readonly maxBytes?: number;
  /** codes for "no answer" and "answered with a failure", default HOST_API_UNREACHABLE and HOST_API_FAILED */
  readonly unreachable?: ErrorCode;
  readonly failed?: ErrorCode;
  /** codes for "no answer in time", default that of `unreachable`, and "answered, but with no JSON", default that of `failed` */
  readonly late?: ErrorCode;
  readonly garbled?: ErrorCode;
  /** gives the call up early */
  readonly signal?: AbortSignal;
  /** how the peer of an https address is judged; without it https is refused */
  readonly tls?: TlsRules;
}

export const CALL_TIMEOUT_MS = 30_000;
const MAX_BYTES = 1024 * 1024;
const MAX_HEADER_BYTES = 16_384;
const MAX_ERROR_TEXT = 300;

/**
 * @param url address of the service, see `parseEndpoint`
 * @param body JSON value of the request message
 * @returns the parsed answer; null when the body is empty
 * @throws CONFIG_INVALID for a bad address, else the codes of the options
 */
export async function callJson(
  url: string,
  method: string,
  body: unknown,
  options: CallOptions = {},
): Promise<unknown> {
  const endpoint = parseEndpoint(url, options.tls !== undefined);
  const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
  const what = `${method} at ${url}`;
  const unreachable = (why: string, cause?: unknown) =>
    new DstackError(options.unreachable ?? 'HOST_API_UNREACHABLE', `${what} ${why}`, { value: url, cause });
  const failed = (why: string, cause?: unknown) =>
    new DstackError(options.failed ?? 'HOST_API_FAILED', `${what} ${why}`, { value: url, cause });

  const abort = new AbortController();
  const giveUp = () => abort.abort(unreachable('was given up'));
  if (options.signal?.aborted) giveUp();
  options.signal?.addEventListener('abort', giveUp, { once: true });
  const garbled = (why: string, cause?: unknown) =>
    new DstackError(options.garbled ?? options.failed ?? 'HOST_API_FAILED', `${what} ${why}`, { value: url, cause });
  const lateCode = options.late ?? options.unreachable ?? 'HOST_API_UNREACHABLE';
  const late = new DstackError(lateCode, `${what} did not answer within ${duration(timeoutMs)}`, { value: url });
  const timer = setTimeout(() => abort.abort(late), timeoutMs);
  try {
    const answer = await exchange(endpoint, method, JSON.stringify(body), {
      signal: abort.signal,
      timeoutMs,
      maxBytes: options.maxBytes ?? MAX_BYTES,
      tls: options.tls,
    });
    if ('tooLarge' in answer) throw garbled(`sent more than ${answer.tooLarge} bytes`);
    if (answer.status === 404) throw garbled('failed with status 404: there is no such service');
    if (answer.status !== 200) throw failed(`failed with status ${answer.status}`, answerText(answer.body));
    if (answer.body.trim() === '') return null;
    try {
      return JSON.parse(answer.body);
    } catch {
      throw garbled('sent an answer that is not JSON'); // no cause: it would quote the answer, which may be a key
    }
  } catch (thrown) {
    if (thrown instanceof DstackError) throw thrown;
    throw unreachable('cannot be reached', thrown);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', giveUp);
  }
}

/** The message inside an error answer: `{"error": text}` (prpc), else the first part of the body. */
export function answerText(body: string): string | undefined {
  let text = body;
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed === 'object' && parsed !== null && 'error' in parsed) text = String(parsed.error);
  } catch {
    // not JSON: an HTML page of a web server in between, or plain text
  }
  const short = cutText(printable(text.trim().replace(/\s+/g, ' ')), MAX_ERROR_TEXT);
  return short === '' ? undefined : short;
}

type Answer = { readonly status: number; readonly body: string } | { readonly tooLarge: number };

interface Limits {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly tls: TlsRules | undefined;
}

async function exchange(endpoint: Endpoint, method: string, payload: string, limits: Limits): Promise<Answer> {
  const connection = await connectEndpoint(endpoint, limits);
  try {
    return await send(`${endpoint.base}/${method}?json`, payload, limits, connection);
  } finally {
    connection.close();
  }
}

function send(path: string, payload: string, limits: Limits, { options }: Connection): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      ...options,
      method: 'POST',
      path,
      // no Content-Type: the query parameter selects JSON, as the reference's client does
      headers: {
        ...options.headers,
        'content-length': Buffer.byteLength(payload),
        accept: 'application/json',
        connection: 'close',
      },
      maxHeaderSize: MAX_HEADER_BYTES,
    });
    const onAbort = () => {
      reject(limits.signal.reason);
      request.destroy();
    };
    if (limits.signal.aborted) return onAbort();
    limits.signal.addEventListener('abort', onAbort, { once: true });
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Uint8Array[] = [];
      let total = 0;
      response.on('data', (chunk: Uint8Array) => {
        total += chunk.length;
        if (total > limits.maxBytes) {
          resolve({ tooLarge: limits.maxBytes });
          request.destroy();
          return;
        }
        chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('aborted', () => reject(new Error('the connection was closed in the middle of the answer')));
      response.on('end', () => {
        if (!response.complete) return reject(new Error('the connection was closed in the middle of the answer'));
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
      });
    });
    request.end(payload);
  });
}

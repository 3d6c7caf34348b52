/** The bytes of an HTTP/1.1 response (RFC 9112): a head with Content-Length, or a stream in chunks. */
import { STATUS_CODES } from 'node:http';
import type { DstackError } from '../errors.ts';
import type { HttpSyntaxError } from './syntax.ts';
import type { HttpResponse } from './types.ts';

const HEADER_NAME = /^[A-Za-z0-9-]+$/;
const BROKEN_VALUE = /[\r\n\0]/;
const lines = new Map<number, string>();

function statusLine(status: number): string {
  let line = lines.get(status);
  if (line === undefined) {
    line = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`;
    lines.set(status, line);
  }
  return line;
}

let second = 0;
let dateLine = '';

/** The Date field; the same text for a whole second. */
function date(): string {
  const now = Math.floor(Date.now() / 1000);
  if (now !== second) {
    second = now;
    dateLine = `date: ${new Date(now * 1000).toUTCString()}\r\n`;
  }
  return dateLine;
}

export interface ResponseHead {
  readonly response: HttpResponse;
  /** header lines of the server, each with its line end */
  readonly common: string;
  /** the connection ends after this response */
  readonly last: boolean;
  /** bytes of the body, or how a stream is told apart from what follows */
  readonly body: number | 'chunked' | 'until-close';
}

let lastHeaders: Readonly<Record<string, string>> | undefined;
let lastFields = '';

/** The header lines of a service. The services give the same object again and again. */
function fields(headers: Readonly<Record<string, string>>): string {
  if (headers === lastHeaders) return lastFields;
  let text = '';
  for (const name in headers) {
    const value = headers[name] as string;
    // only we write headers; should foreign text ever get here, it must not become a header of its own
    if (!HEADER_NAME.test(name) || BROKEN_VALUE.test(value)) continue;
    text += `${name}: ${value}\r\n`;
  }
  if (Object.isFrozen(headers)) [lastHeaders, lastFields] = [headers, text];
  return text;
}

/** Everything before the body, including the empty line. Every character is one byte. */
export function responseHead({ response, common, last, body }: ResponseHead): string {
  let text = statusLine(response.status) + common + fields(response.headers) + date();
  if (typeof body === 'number') text += `content-length: ${body}\r\n`;
  else if (body === 'chunked') text += 'transfer-encoding: chunked\r\n';
  return `${text}connection: ${last ? 'close' : 'keep-alive'}\r\n\r\n`;
}

/** One chunk of a stream. */
export function chunk(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`, 'latin1'), bytes, CRLF]);
}

const CRLF = Buffer.from('\r\n', 'latin1');

export const LAST_CHUNK = Buffer.from('0\r\n\r\n', 'latin1');

/**
 * For programs, in every response that tells of an error: its code, and what of the request it is about, if that is known.
 * The body stays what its interface has always had.
 */
export function errorHeaders({ code, field }: Pick<DstackError, 'code' | 'field'>): Record<string, string> {
  return { 'x-error-code': code, ...(field !== undefined && FIELD_NAME.test(field) ? { 'x-error-field': field } : {}) };
}

/** Names in documents and requests can be foreign text of any length. */
const FIELD_NAME = /^[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?$/;

/** Response to bytes that are not a request, which no service has seen. It ends the connection. */
export function refusal(error: HttpSyntaxError, common: string): string {
  const body = JSON.stringify({ error: error.message }, null, 2);
  const response = {
    status: error.status,
    headers: { 'content-type': 'application/json', ...errorHeaders(error) },
    body,
  };
  return responseHead({ response, common, last: true, body: body.length }) + body;
}

/**
 * Request lines and header fields of HTTP/1.1 (RFC 9112). Strict where leniency has been used to smuggle requests: no
 * folded lines, no space before the colon, no bare line feeds, one Content-Length, and never both ways to end a body.
 */
import { type HeaderFields, hasToken, parseFields } from './fields.ts';
import { HttpSyntaxError } from './syntax.ts';

/** How the body of a request ends. */
export type Framing = { readonly kind: 'length'; readonly length: number } | { readonly kind: 'chunked' };

export interface RequestHead {
  readonly method: string;
  /** percent-encoded path without the query */
  readonly path: string;
  /** raw query without the question mark */
  readonly query: string;
  /** lower-case names; see fields.ts for those that come more than once */
  readonly headers: HeaderFields;
  readonly framing: Framing;
  /** the client wants the connection to end after the response */
  readonly close: boolean;
  /** the client waits for 100 Continue before it sends the body */
  readonly expectsContinue: boolean;
  /** HTTP/1.0: knows neither chunks nor persistent connections by itself */
  readonly http10: boolean;
}

const REQUEST_LINE = /^([A-Z]{1,20}) ([\x21-\x7e]+) HTTP\/1\.([01])$/;
const OTHER_VERSION = / HTTP\/(?!1\.)\d\.\d$/;
/** With the characters of a host and a port (RFC 3986, section 3.2), without user names (RFC 9110, section 4.2.4). */
const ABSOLUTE_FORM = /^https?:\/\/[A-Za-z0-9.\-_~%:[\]]+(?=[/?]|$)/i;

/**
 * Reads everything up to the empty line (which is not part of `text`; one character a byte).
 * @throws HttpSyntaxError
 */
export function parseHead(text: string): RequestHead {
  const lines = text.split('\r\n');
  const line = REQUEST_LINE.exec(lines[0] ?? '');
  if (line === null) {
    if (OTHER_VERSION.test(lines[0] ?? '')) throw new HttpSyntaxError(505, 'version', 'only HTTP/1.1 is served here');
    throw new HttpSyntaxError(400, 'request line', 'the request line is malformed');
  }
  const [, method = '', rawTarget = '', minor] = line;
  const target = rawTarget.replace(ABSOLUTE_FORM, '');
  // of the four forms (RFC 9112, section 3.2) a server that is not a proxy gets these
  if (!target.startsWith('/') && target === rawTarget && !(target === '*' && method === 'OPTIONS'))
    throw new HttpSyntaxError(400, 'target', 'the target of the request is malformed');
  const question = target.indexOf('?');
  const headers = parseFields(lines);
  const http10 = minor === '0';
  const connection = headers['connection'];
  return {
    method,
    path: (question < 0 ? target : target.slice(0, question)) || '/',
    query: question < 0 ? '' : target.slice(question + 1),
    headers,
    framing: framing(headers, http10),
    close: hasToken(connection, 'close') || (http10 && !hasToken(connection, 'keep-alive')),
    expectsContinue: expectation(headers, http10),
    http10,
  };
}

function framing(headers: HeaderFields, http10: boolean): Framing {
  const length = headers['content-length'];
  const encoding = headers['transfer-encoding'];
  if (encoding !== undefined) {
    if (length !== undefined || http10)
      throw new HttpSyntaxError(400, 'transfer-encoding', 'the end of the body is announced in two ways');
    if (encoding.toLowerCase() !== 'chunked')
      throw new HttpSyntaxError(501, 'transfer-encoding', 'transfer-encoding is not chunked');
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'length', length: 0 };
  if (!/^\d{1,15}$/.test(length)) throw new HttpSyntaxError(400, 'content-length', 'content-length is not a number');
  return { kind: 'length', length: Number(length) };
}

function expectation(headers: HeaderFields, http10: boolean): boolean {
  const expect = headers['expect'];
  if (expect === undefined || http10) return false;
  if (expect.split(',').some((item) => item.trim().toLowerCase() !== '100-continue'))
    throw new HttpSyntaxError(417, 'expect', 'expect is not 100-continue');
  return true;
}

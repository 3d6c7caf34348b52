/**
 * Request lines and header fields of HTTP/1.1 (RFC 9112). Strict where leniency has been used to smuggle requests: no
 * folded lines, no space before the colon, no bare line feeds, one Content-Length, and never both ways to end a body.
 */

/** How the body of a request ends. */
export type Framing = { readonly kind: 'length'; readonly length: number } | { readonly kind: 'chunked' };

export interface RequestHead {
  readonly method: string;
  /** percent-encoded path without the query */
  readonly path: string;
  /** raw query without the question mark */
  readonly query: string;
  /** lower-case names; repeated fields are joined with a comma */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly framing: Framing;
  /** the client wants the connection to end after the answer */
  readonly close: boolean;
  /** the client waits for 100 Continue before it sends the body */
  readonly expectsContinue: boolean;
  /** HTTP/1.0: knows neither chunks nor persistent connections by itself */
  readonly old: boolean;
}

/** A request that is refused before any service sees it. Its text never holds anything of the request. */
export class HttpSyntaxError extends Error {
  /** status of the answer */
  readonly status: 400 | 417 | 431 | 501;
  constructor(status: HttpSyntaxError['status'], message: string) {
    super(message);
    this.name = 'HttpSyntaxError';
    this.status = status;
  }
}

const MOST_FIELDS = 100;
const REQUEST_LINE = /^([A-Z]{1,20}) ([\x21-\x7e]+) HTTP\/1\.([01])$/;
const ABSOLUTE_FORM = /^https?:\/\/[^/?#]*/i;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/;
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

/**
 * Reads everything up to the empty line (which is not part of `text`; one character a byte).
 * @throws HttpSyntaxError
 */
export function parseHead(text: string): RequestHead {
  const lines = text.split('\r\n');
  const line = REQUEST_LINE.exec(lines[0] ?? '');
  if (line === null) throw new HttpSyntaxError(400, 'the request line is malformed');
  const [, method = '', rawTarget = '', minor] = line;
  const target = rawTarget.replace(ABSOLUTE_FORM, '');
  const question = target.indexOf('?');
  const headers = parseFields(lines);
  const old = minor === '0';
  const connection = headers['connection']?.toLowerCase() ?? '';
  return {
    method,
    path: (question < 0 ? target : target.slice(0, question)) || '/',
    query: question < 0 ? '' : target.slice(question + 1),
    headers,
    framing: framing(headers, old),
    close: old ? !connection.includes('keep-alive') : connection.includes('close'),
    expectsContinue: expectation(headers, old),
    old,
  };
}

function parseFields(lines: readonly string[]): Record<string, string | undefined> {
  if (lines.length - 1 > MOST_FIELDS) throw new HttpSyntaxError(431, 'there are too many header fields');
  const headers: Record<string, string | undefined> = Object.create(null);
  for (let i = 1; i < lines.length; i++) {
    const field = FIELD.exec(lines[i] as string);
    const [, rawName = '', value = ''] = field ?? [];
    if (field === null || CONTROL.test(value)) throw new HttpSyntaxError(400, 'a header field is malformed');
    const name = rawName.toLowerCase();
    const known = headers[name];
    if (known !== undefined && (name === 'content-length' || name === 'transfer-encoding'))
      throw new HttpSyntaxError(400, 'the end of the body is announced twice');
    headers[name] = known === undefined ? value : `${known}, ${value}`;
  }
  return headers;
}

function framing(headers: Readonly<Record<string, string | undefined>>, old: boolean): Framing {
  const length = headers['content-length'];
  const encoding = headers['transfer-encoding'];
  if (encoding !== undefined) {
    if (length !== undefined || old) throw new HttpSyntaxError(400, 'the end of the body is announced twice');
    if (encoding.toLowerCase() !== 'chunked') throw new HttpSyntaxError(501, 'the transfer encoding is not known');
    return { kind: 'chunked' };
  }
  if (length === undefined) return { kind: 'length', length: 0 };
  if (!/^\d{1,15}$/.test(length)) throw new HttpSyntaxError(400, 'the content length is not a number');
  return { kind: 'length', length: Number(length) };
}

function expectation(headers: Readonly<Record<string, string | undefined>>, old: boolean): boolean {
  const expect = headers['expect'];
  if (expect === undefined || old) return false;
  if (expect.toLowerCase() !== '100-continue') throw new HttpSyntaxError(417, 'the expectation is not known');
  return true;
}

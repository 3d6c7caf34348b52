/**
 * Header fields of a request (RFC 9110, section 5), and what a field means that comes more than once: a list is joined, a
 * single value must be the same each time. What ends a body or names the server may come once only: proxies that choose
 * differently among two of them are how requests are smuggled.
 */
import { HttpSyntaxError } from './syntax.ts';

export type HeaderFields = Readonly<Record<string, string | undefined>>;

const MOST_FIELDS = 100;
const FIELD = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/;
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

/** Once only, even with the same value: RFC 9112, sections 3.2 (Host), 6.1 and 6.3. */
const ONCE: ReadonlySet<string> = new Set(['host', 'content-length', 'transfer-encoding']);

/**
 * Fields of one value by their definitions (RFC 9110; RFC 6266 for Content-Disposition, RFC 6454 for Origin). A client that
 * sends one twice with the same value means one, as the official SDK for Rust does with Content-Type.
 */
const SINGLE: ReadonlySet<string> = new Set([
  'authorization',
  'content-disposition',
  'content-location',
  'content-range',
  'content-type',
  'date',
  'from',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'max-forwards',
  'origin',
  'proxy-authorization',
  'range',
  'referer',
  'user-agent',
]);

/**
 * Reads the lines behind the request line.
 * @param lines lines[0] is the request line and left alone
 * @throws HttpSyntaxError 400, 431
 */
export function parseFields(lines: readonly string[]): HeaderFields {
  if (lines.length - 1 > MOST_FIELDS)
    throw new HttpSyntaxError(431, 'header', `there are more than ${MOST_FIELDS} header fields`);
  const fields: Record<string, string | undefined> = Object.create(null);
  for (let i = 1; i < lines.length; i++) {
    const [rawName, value] = parseField(lines[i] as string);
    const name = rawName.toLowerCase();
    const known = fields[name];
    fields[name] = known === undefined ? value : repeated(name, known, value);
  }
  return fields;
}

/** One line, without its line end: name and value. @throws HttpSyntaxError 400 */
export function parseField(line: string): readonly [name: string, value: string] {
  const [field, name = '', value = ''] = FIELD.exec(line) ?? [];
  if (field === undefined || CONTROL.test(value))
    throw new HttpSyntaxError(400, 'header', 'a header field is malformed');
  return [name, value];
}

/** A field behind the body, which is dropped: it must be one, and must not end a body or name the server (RFC 9110, 6.5.1). */
export function checkTrailer(line: string): void {
  const name = parseField(line)[0].toLowerCase();
  if (ONCE.has(name)) throw new HttpSyntaxError(400, name, `${name} comes behind the body`);
}

/** The value of a field that comes once more. */
function repeated(name: string, known: string, value: string): string {
  if (ONCE.has(name)) throw new HttpSyntaxError(400, name, `${name} comes more than once`);
  if (SINGLE.has(name)) {
    if (known !== value) throw new HttpSyntaxError(400, name, `${name} has two different values`);
    return known;
  }
  // the one list that is not separated by commas (RFC 6265, section 5.4; RFC 9113, section 8.2.3)
  return name === 'cookie' ? `${known}; ${value}` : `${known}, ${value}`;
}

/** Whether a list of tokens has this one. @param token lower case */
export function hasToken(list: string | undefined, token: string): boolean {
  if (list === undefined) return false;
  const text = list.toLowerCase();
  return text === token || text.split(',').some((item) => item.trim() === token);
}

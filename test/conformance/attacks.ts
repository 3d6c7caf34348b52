/**
 * Hostile counterparts of recorded requests, each with the right answer: the same meaning as the request that it is made
 * of, or an error with its code and its field. One table for every kind of listener.
 */
import { body, chunked, fields, lengths, line, plus, text, types } from './attack-shapes.ts';
import { RECORDED, type Recorded } from './recorded.ts';

export interface Refused {
  readonly status: number;
  readonly code: 'HTTP_REQUEST_INVALID' | 'RPC_REQUEST_INVALID' | 'RPC_PAYLOAD_TOO_LARGE';
  /** undefined: the first key of the JSON body */
  readonly field: string | undefined;
}

export interface Attack {
  readonly what: string;
  readonly make: (recorded: Recorded) => Buffer;
  readonly expected: 'same meaning' | Refused;
  /** the client does not end its side: the answer must not wait for that */
  readonly open?: true;
}

const same = (what: string, make: Attack['make']): Attack => ({ what, make, expected: 'same meaning' });
const http = (what: string, status: number, field: string, make: Attack['make']): Attack => ({
  what,
  make,
  expected: { status, code: 'HTTP_REQUEST_INVALID', field },
});
const rpc = (what: string, field: string | undefined, make: Attack['make']): Attack => ({
  what,
  make,
  expected: { status: 400, code: 'RPC_REQUEST_INVALID', field },
});

/** Requests with texts in their bodies, of each SDK and for both sockets. */
export const VICTIMS: readonly Recorded[] = RECORDED.filter(({ name }) =>
  /^\w+\/(?:dstack\/.*GetKey|tappd\/.*TdxQuote)$/.test(name),
);

export const ATTACKS: readonly Attack[] = [
  // what a field says is the same, however it is written
  same(
    'names in capitals',
    fields((name, value) => `${name.toUpperCase()}: ${value}`),
  ),
  same(
    'names in small letters',
    fields((name, value) => `${name.toLowerCase()}: ${value}`),
  ),
  same(
    'white space around values',
    fields((name, value) => `${name}:\t  ${value} \t`),
  ),
  same(
    'no white space before values',
    fields((name, value) => `${name}:${value}`),
  ),
  same('the content type in other case, with a parameter', types('content-type: Application/JSON; Charset=UTF-8')),
  same('the content type three times, the same', types(...Array(3).fill('content-type: application/json'))),
  same(
    'a list in several lines',
    plus('Accept: text/html', 'Accept: application/json', 'Connection: te', 'TE: trailers'),
  ),
  same('a cookie of 12 KiB', plus(`Cookie: ${'c'.repeat(12_000)}`)),
  same('eighty unknown fields', plus(...Array.from({ length: 80 }, (_, i) => `X-Unknown-${i}: ${i}`))),
  same(
    'an offer of HTTP/2',
    plus('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAoAAA'),
  ),
  same('an announcement of its body', plus('Expect: 100-continue')),
  same('the body in chunks', chunked('Transfer-Encoding: chunked')),
  same('the body in chunks, in capitals', chunked('TRANSFER-ENCODING: CHUNKED')),
  same(
    'the absolute form',
    line((first) => first.replace(/ (?:http:\/\/[^/]+)?\//, ' http://dstack.example:80/')),
  ),
  same('empty lines before it', ({ bytes }) => Buffer.concat([Buffer.from('\r\n\r\n\r\n'), bytes])),

  // one request must not be two for a proxy in front
  http('the host twice', 400, 'host', plus('Host: localhost')),
  http(
    'the length twice, the same',
    400,
    'content-length',
    lengths((n) => [`Content-Length: ${n}`, `content-length: ${n}`]),
  ),
  http(
    'the length twice, different',
    400,
    'content-length',
    lengths((n) => [`Content-Length: ${n}`, 'Content-Length: 0']),
  ),
  http(
    'a list of lengths',
    400,
    'content-length',
    lengths((n) => [`Content-Length: ${n}, ${n}`]),
  ),
  http(
    'a negative length',
    400,
    'content-length',
    lengths((n) => [`Content-Length: -${n}`]),
  ),
  http(
    'a signed length',
    400,
    'content-length',
    lengths((n) => [`Content-Length: +${n}`]),
  ),
  http(
    'a length in hex',
    400,
    'content-length',
    lengths((n) => [`Content-Length: 0x${n.toString(16)}`]),
  ),
  http(
    'an empty length',
    400,
    'content-length',
    lengths(() => ['Content-Length:']),
  ),
  http(
    'a length of 30 digits',
    400,
    'content-length',
    lengths(() => [`Content-Length: ${'9'.repeat(30)}`]),
  ),
  http('a length and chunks', 400, 'transfer-encoding', plus('Transfer-Encoding: chunked')),
  http('chunks twice', 400, 'transfer-encoding', chunked('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked')),
  http('packed chunks', 501, 'transfer-encoding', chunked('Transfer-Encoding: gzip, chunked')),
  http('chunks in HTTP/1.0', 400, 'transfer-encoding', (recorded) => {
    const bytes = chunked('Transfer-Encoding: chunked')(recorded).toString('latin1');
    return Buffer.from(bytes.replace(' HTTP/1.1', ' HTTP/1.0'), 'latin1');
  }),
  http(
    'a chunk with a signed size',
    400,
    'body',
    chunked('Transfer-Encoding: chunked', (chunks) => `+${chunks}`),
  ),
  http(
    'a chunk that is longer than its size',
    400,
    'body',
    chunked('Transfer-Encoding: chunked', (chunks) => chunks.replace('\r\n', '\r\nx')),
  ),
  http(
    'a length behind the body',
    400,
    'content-length',
    chunked('Transfer-Encoding: chunked', (chunks) => chunks.replace(/\r\n$/, 'Content-Length: 7\r\n\r\n')),
  ),
  http(
    'a chunk with a bare line feed',
    400,
    'body',
    chunked('Transfer-Encoding: chunked', (chunks) => chunks.replace('\r\n', '\n')),
  ),
  http(
    'two content types',
    400,
    'content-type',
    types('Content-Type: application/json', 'Content-Type: application/octet-stream'),
  ),
  http('a folded value', 400, 'header', types('Content-Type:', ' application/json')),
  http(
    'a folded length',
    400,
    'header',
    lengths((n) => ['Content-Length:', `\t${n}`]),
  ),
  http('a fold behind the request line', 400, 'header', ({ head: [first = '', ...rest], body: sent }) =>
    text([first, ' x', ...rest], sent),
  ),
  http(
    'a space before the colon',
    400,
    'header',
    fields((name, value) => `${name} : ${value}`),
  ),
  http('a line without a colon', 400, 'header', plus('GET /GetKey')),
  http('a NUL in a value', 400, 'header', plus('X-A: b\0c')),
  http('a bare line feed in a value', 400, 'header', plus('X-A: b\nTransfer-Encoding: chunked')),
  http('a bare carriage return in a value', 400, 'header', plus('X-A: b\rTransfer-Encoding: chunked')),
  http('an unknown expectation', 417, 'expect', plus('Expect: 200-ok')),
  http('a header of 17 KiB', 431, 'header', plus(`X-Huge: ${'x'.repeat(17_000)}`)),
  http(
    'a target of 17 KiB',
    431,
    'header',
    line((first) => first.replace(' HTTP/', `?${'x'.repeat(17_000)} HTTP/`)),
  ),
  http('a hundred more fields', 431, 'header', plus(...Array.from({ length: 100 }, (_, i) => `X-${i}: ${i}`))),
  http(
    'a method in small letters',
    400,
    'request line',
    line((first) => first.toLowerCase().replace('http/1.1', 'HTTP/1.1')),
  ),
  http(
    'two spaces in the request line',
    400,
    'request line',
    line((first) => first.replace(' ', '  ')),
  ),
  http(
    'no version',
    400,
    'request line',
    line((first) => first.replace(' HTTP/1.1', '')),
  ),
  http(
    'HTTP/2.0 in the form of 1.1',
    505,
    'version',
    line((first) => first.replace('1.1', '2.0')),
  ),
  http(
    'HTTP/0.9',
    505,
    'version',
    line((first) => first.replace('1.1', '0.9')),
  ),
  http(
    'a target without a slash',
    400,
    'target',
    line((first) => first.replace(/ \S+ /, ' GetKey ')),
  ),
  {
    // its end never comes, so nobody may wait for it
    ...http('bare line feeds only', 400, 'header', ({ bytes }) =>
      Buffer.from(bytes.toString('latin1').replaceAll('\r', ''), 'latin1'),
    ),
    open: true,
  },

  // what the body is, is not guessed
  rpc('no content type', 'content-type', types()),
  rpc('the content type of a form', 'content-type', types('Content-Type: application/x-www-form-urlencoded')),
  rpc('a content type that only begins like JSON', 'content-type', types('Content-Type: application/json5')),
  rpc(
    'a length that is one too small',
    'body',
    lengths((n) => [`Content-Length: ${n - 1}`]),
  ),
  rpc(
    'text behind the object',
    'body',
    body((sent) => `${sent}{}`),
  ),
  rpc(
    'a list in place of the object',
    'body',
    body((sent) => `[${sent}]`),
  ),
  rpc(
    'bytes that are not UTF-8',
    'body',
    body((sent) => sent.replace('":"', '":"\xff')),
  ),
  rpc(
    'a byte order mark',
    'body',
    body((sent) => `\xef\xbb\xbf${sent}`),
  ),
  rpc(
    'a key twice, the same',
    undefined,
    body((sent) => sent.replace(/\{("\w+":"[^"]*")/, '{$1,$1')),
  ),
  rpc(
    'a key twice, once with escapes',
    undefined,
    body((sent) =>
      sent.replace(
        /\{"(\w)(\w*)":("[^"]*")/,
        (_, first, rest, value) =>
          `{"${first}${rest}":${value},"\\u${first.charCodeAt(0).toString(16).padStart(4, '0')}${rest}":${value}`,
      ),
    ),
  ),
  rpc(
    'a number in place of a text',
    undefined,
    body((sent) => sent.replace(/:"[^"]*"/, ':7')),
  ),
  {
    what: 'a length beyond the limit',
    make: lengths(() => ['Content-Length: 10485761']),
    expected: { status: 400, code: 'RPC_PAYLOAD_TOO_LARGE', field: 'body' },
  },
];

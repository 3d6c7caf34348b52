/** Requests as bytes: what is read, and what is refused before any service sees it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { BodyReader } from '../../src/http/body.ts';
import { parseHead } from '../../src/http/head.ts';
import { DEFAULT_LIMITS } from '../../src/http/limits.ts';
import { BodyMemory, Reservation } from '../../src/http/memory.ts';
import { RequestReader } from '../../src/http/reader.ts';
import { chunk, responseHead } from '../../src/http/response.ts';
import { HttpSyntaxError } from '../../src/http/syntax.ts';

const head = (line: string, ...fields: string[]) => parseHead([line, ...fields].join('\r\n'));

describe('the head of a request', () => {
  it('has method, path, query and fields', () => {
    expect(head('POST /a/b?c=d?e HTTP/1.1', 'Host: x', 'X-A:1', 'x-a: \t2 \t', 'Content-Length: 12')).toMatchObject({
      method: 'POST',
      path: '/a/b',
      query: 'c=d?e',
      headers: { host: 'x', 'x-a': '1, 2', 'content-length': '12' },
      framing: { kind: 'length', length: 12 },
      close: false,
      http10: false,
    });
  });
  it('takes the absolute form of a target', () => {
    expect(head('GET http://dstack/GetKey?path=a HTTP/1.1')).toMatchObject({ path: '/GetKey', query: 'path=a' });
    expect(head('GET http://dstack?x HTTP/1.1')).toMatchObject({ path: '/', query: 'x' });
    expect(head('GET http://dstack HTTP/1.1')).toMatchObject({ path: '/', query: '' });
    expect(head('OPTIONS * HTTP/1.1')).toMatchObject({ path: '*', query: '' });
  });
  it('knows when the connection ends', () => {
    expect(head('GET / HTTP/1.1', 'Connection: Keep-Alive').close).toBe(false);
    expect(head('GET / HTTP/1.1', 'Connection: Close').close).toBe(true);
    expect(head('GET / HTTP/1.0').close).toBe(true);
    expect(head('GET / HTTP/1.0', 'Connection: keep-alive').close).toBe(false);
  });
  it.each([
    ['no HTTP', 400, ['hello']],
    ['nothing', 400, ['']],
    ['HTTP/2', 505, ['GET / HTTP/2.0']],
    ['a lower-case method', 400, ['get / HTTP/1.1']],
    ['two spaces', 400, ['GET  / HTTP/1.1']],
    ['a target with a byte beyond ASCII', 400, ['GET /\u00e4 HTTP/1.1']],
    ['a target without a slash', 400, ['GET GetKey HTTP/1.1']],
    ['an asterisk', 400, ['GET * HTTP/1.1']],
    ['another scheme', 400, ['GET ftp://a/b HTTP/1.1']],
    ['a host name with a character that none has', 400, ['GET http://a`b/c HTTP/1.1']],
    ['a user name in the target', 400, ['GET http://u:p@a/c HTTP/1.1']],
    ['an absolute target without a host', 400, ['GET http:///b HTTP/1.1']],
    ['the target of a tunnel', 400, ['CONNECT a:443 HTTP/1.1']],
    ['a folded line', 400, ['GET / HTTP/1.1', 'A: b', ' c']],
    ['a space before the colon', 400, ['GET / HTTP/1.1', 'Content-Length : 5']],
    ['a field without a name', 400, ['GET / HTTP/1.1', ': a']],
    ['a bare line feed', 400, ['GET / HTTP/1.1\nA: b']],
    ['a bare line feed in a field', 400, ['GET / HTTP/1.1', 'A: b\nContent-Length: 5']],
    ['a carriage return in a field', 400, ['GET / HTTP/1.1', 'A: b\rc']],
    ['a NUL', 400, ['GET / HTTP/1.1', 'A: b\0']],
    ['two host names', 400, ['GET / HTTP/1.1', 'Host: a', 'Host: b']],
    ['one host name twice', 400, ['GET / HTTP/1.1', 'Host: a', 'Host: a']],
    ['two content types', 400, ['POST / HTTP/1.1', 'Content-Type: application/json', 'Content-Type: text/plain']],
    ['two authorizations', 400, ['GET / HTTP/1.1', 'Authorization: a', 'Authorization: b']],
    ['two different lengths', 400, ['POST / HTTP/1.1', 'Content-Length: 5', 'Content-Length: 6']],
    [
      'two encodings that are the same',
      400,
      ['POST / HTTP/1.1', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
    ],
    ['a second expectation', 417, ['POST / HTTP/1.1', 'Expect: 100-continue', 'Expect: 200-ok']],
    ['two lengths', 400, ['POST / HTTP/1.1', 'Content-Length: 5', 'Content-Length: 5']],
    ['a list of lengths', 400, ['POST / HTTP/1.1', 'Content-Length: 5, 5']],
    ['a negative length', 400, ['POST / HTTP/1.1', 'Content-Length: -1']],
    ['a length with a sign', 400, ['POST / HTTP/1.1', 'Content-Length: +5']],
    ['a length in hex', 400, ['POST / HTTP/1.1', 'Content-Length: 0x5']],
    ['a huge length', 400, ['POST / HTTP/1.1', 'Content-Length: 99999999999999999999']],
    ['both ways to end a body', 400, ['POST / HTTP/1.1', 'Content-Length: 5', 'Transfer-Encoding: chunked']],
    ['chunks in HTTP/1.0', 400, ['POST / HTTP/1.0', 'Transfer-Encoding: chunked']],
    ['another encoding', 501, ['POST / HTTP/1.1', 'Transfer-Encoding: gzip, chunked']],
    ['two encodings', 400, ['POST / HTTP/1.1', 'Transfer-Encoding: chunked', 'Transfer-Encoding: identity']],
    ['another expectation', 417, ['POST / HTTP/1.1', 'Expect: 200-ok']],
    ['very many fields', 431, ['GET / HTTP/1.1', ...Array.from({ length: 101 }, (_, i) => `A${i}: b`)]],
  ])('refuses %s', (_, status, [line = '', ...fields]) => {
    let seen: unknown;
    try {
      head(line, ...fields);
    } catch (thrown) {
      seen = thrown;
    }
    expect(seen).toBeInstanceOf(HttpSyntaxError);
    expect(seen).toMatchObject({ status });
  });
  it.each([
    ['content-type', ['application/json', 'application/json'], 'application/json'],
    ['authorization', ['Basic YQ==', 'Basic YQ=='], 'Basic YQ=='],
    ['origin', ['null', 'null', 'null'], 'null'],
    ['accept', ['text/html', 'application/json'], 'text/html, application/json'],
    ['accept', ['a/b', 'a/b'], 'a/b, a/b'],
    ['connection', ['te', 'close'], 'te, close'],
    ['cache-control', ['no-cache', 'no-store'], 'no-cache, no-store'],
    ['x-forwarded-for', ['10.0.0.1', '10.0.0.2'], '10.0.0.1, 10.0.0.2'],
    ['cookie', ['a=b', 'c=d'], 'a=b; c=d'],
    ['expect', ['100-continue', '100-continue'], '100-continue, 100-continue'],
  ])('reads %s %j as its definition says', (name, values, joined) => {
    expect(head('GET / HTTP/1.1', ...values.map((value) => `${name}: ${value}`)).headers[name]).toBe(joined);
  });
  it('takes what Connection lists for words, over all its lines', () => {
    const close = (...values: string[]) =>
      head('GET / HTTP/1.1', ...values.map((value) => `Connection: ${value}`)).close;
    expect(close('te', 'close')).toBe(true);
    expect(close('keep-alive, Close')).toBe(true);
    expect(close('closed')).toBe(false);
    expect(close('disclose, x')).toBe(false);
    expect(head('GET / HTTP/1.0', 'Connection: keep-alive, close').close).toBe(true);
  });
  it('does not mistake names of objects for fields', () => {
    const { headers } = head('GET / HTTP/1.1', '__proto__: a', 'constructor: b');
    expect(Object.entries(headers)).toEqual([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
    expect(headers['tostring']).toBeUndefined();
    expect(({} as Record<string, unknown>)['a']).toBeUndefined();
  });
  it('throws nothing else', () => {
    const line = fc.oneof(fc.string({ unit: 'binary-ascii' }), fc.constantFrom('A: b', 'Content-Length: 1', ''));
    fc.assert(
      fc.property(fc.constantFrom('GET / HTTP/1.1', 'x'), fc.array(line), (first, fields) => {
        try {
          head(first, ...fields);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(HttpSyntaxError);
        }
      }),
    );
  });
});

const unlimited = () => new Reservation(new BodyMemory(1_000_000));

describe('the body of a request', () => {
  const bytes = (text: string) => Buffer.from(text, 'latin1');
  /** Feeds pieces; returns the body and what was left over. */
  const feed = (reader: BodyReader, pieces: readonly Uint8Array[]) => {
    let left = 0;
    for (const piece of pieces) left += piece.length - reader.push(piece);
    return { body: Buffer.from(reader.bytes()).toString('latin1'), left, done: reader.done };
  };
  const split = (whole: Uint8Array, sizes: readonly number[]) => {
    const pieces: Uint8Array[] = [];
    let at = 0;
    for (const size of [...sizes, whole.length]) {
      pieces.push(whole.subarray(at, at + size));
      at += size;
    }
    return pieces.filter((piece) => piece.length > 0);
  };

  it('is the same however it is cut, and what follows it is left alone', () => {
    const body = fc.uint8Array({ maxLength: 300 });
    const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 20 });
    const extension = fc.constantFrom('', ';a=b', ';a;b=c;x="y\\"z;"');
    fc.assert(
      fc.property(
        body,
        cuts,
        fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 8 }),
        extension,
        (data, at, sizes, ext) => {
          const text = Buffer.from(data).toString('latin1');
          const known = feed(
            new BodyReader({ kind: 'length', length: data.length }, 1000, unlimited()),
            split(Buffer.concat([data, bytes('next')]), at),
          );
          expect(known).toEqual({ body: text, left: 4, done: true });
          const chunked = Buffer.concat([
            ...split(data, sizes).map((part) =>
              Buffer.concat([bytes(`${part.length.toString(16)}${ext}\r\n`), part, bytes('\r\n')]),
            ),
            bytes('0\r\nX: y\r\n\r\nnext'),
          ]);
          expect(feed(new BodyReader({ kind: 'chunked' }, 1000, unlimited()), split(chunked, at))).toEqual({
            body: text,
            left: 4,
            done: true,
          });
        },
      ),
    );
  });
  it.each([
    'x\r\n',
    '-1\r\n',
    ' 5\r\n',
    '0x5\r\n',
    '5\n',
    '\r\n',
    '123456789\r\n',
    '1\r\nab\r\n',
    '1\r\na\n',
    '0\r\nX; y\r\n',
    '0\r\n folded\r\n',
    '0\r\nX : y\r\n',
    `1;${'e'.repeat(1100)}`,
    '5;\u0001\r\n',
    '5;\r\n',
    '5;a=\r\n',
    '5;a="b\r\n',
    '5;\u00e4=b\r\n',
    '5 \r\n',
  ])('refuses the chunk %j', (text) => {
    expect(() => feed(new BodyReader({ kind: 'chunked' }, 1000, unlimited()), [bytes(text)])).toThrow(HttpSyntaxError);
  });
  it('has a limit, also for what is only announced', () => {
    const tooLarge = expect.objectContaining({ code: 'RPC_PAYLOAD_TOO_LARGE' });
    expect(() => new BodyReader({ kind: 'length', length: 11 }, 10, unlimited())).toThrow(tooLarge);
    expect(() => feed(new BodyReader({ kind: 'chunked' }, 10, unlimited()), [bytes('b\r\n')])).toThrow(tooLarge);
    expect(() => feed(new BodyReader({ kind: 'chunked' }, 10, unlimited()), [bytes('6\r\naaaaaa\r\n5\r\n')])).toThrow(
      tooLarge,
    );
    expect(() =>
      feed(new BodyReader({ kind: 'chunked' }, 10, unlimited()), [bytes(`0\r\n${'A: b\r\n'.repeat(80)}`)]),
    ).toThrow(HttpSyntaxError);
  });
  it('throws nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary-ascii' }).map(bytes)), (pieces) => {
        try {
          feed(new BodyReader({ kind: 'chunked' }, 100, unlimited()), pieces);
        } catch (thrown) {
          expect(thrown instanceof HttpSyntaxError || thrown instanceof DstackError).toBe(true);
        }
      }),
    );
  });
});

describe('a response', () => {
  it('never lets a value become a field', () => {
    const response = { status: 200, headers: { 'x-a': 'b\r\nx-c: d', 'x e': 'f', 'x-g': 'h' }, body: '' };
    const text = responseHead({ response, common: 'server: s\r\n', last: false, body: 0 });
    expect(text).toMatch(
      /^HTTP\/1\.1 200 OK\r\nserver: s\r\nx-g: h\r\ndate: [^\r]+ GMT\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n$/,
    );
  });
  it('writes chunks that it can read', () => {
    const reader = new BodyReader({ kind: 'chunked' }, 100, unlimited());
    reader.push(chunk(Buffer.from('hello')));
    expect(Buffer.from(reader.bytes()).toString()).toBe('hello');
  });
});

describe('a header about as long as the limit', () => {
  const limits = { ...DEFAULT_LIMITS, header: 200 };
  const start = 'GET / HTTP/1.1\r\nHost: x\r\nX: ';

  /** What the first event is when the bytes come in two pieces. */
  function firstEvent(length: number, cut: number): string | undefined {
    const bytes = Buffer.from(`${start.padEnd(length, 'a')}\r\n\r\n`);
    const reader = new RequestReader(limits, new BodyMemory(limits.memory));
    reader.push(bytes.subarray(0, cut));
    const event = reader.next();
    if (event !== undefined) return event.kind;
    reader.push(bytes.subarray(cut));
    return reader.next()?.kind;
  }

  it.each([196, 197, 198, 199, 200, 201, 202])('of %d bytes is judged alike wherever it is cut', (length) => {
    const kinds = Array.from({ length: length + 4 }, (_, at) => firstEvent(length, at + 1));
    expect(new Set(kinds)).toEqual(new Set([length > limits.header ? 'malformed' : 'request']));
  });
});

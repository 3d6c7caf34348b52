/**
 * The same bytes to our server and to node:http, over real sockets: what each answers, and why they differ where they do.
 * A row without a reason must have the same statuses; a row with one must not, or the reason is out of date.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, untilClose } from '../agent/raw-client.ts';
import { type Served, serveHttp } from './serve.ts';

interface Row {
  readonly what: string;
  readonly bytes: string;
  /** statuses of all answers on the connection, in their order; empty when it is closed without one */
  readonly ours: readonly number[];
  readonly theirs?: readonly number[];
  /** why they differ */
  readonly why?: string;
}

const close = 'Connection: close\r\n';
const end = `Host: a\r\n${close}\r\n`;
const last = `GET / HTTP/1.1\r\n${end}`;
const post = (fields: string, body = '', version = '1.1') =>
  `POST / HTTP/${version}\r\nHost: a\r\n${fields}${close}\r\n${body}`;

const SAME: readonly Row[] = [
  { what: 'GET', bytes: last, ours: [200] },
  { what: 'HEAD', bytes: `HEAD / HTTP/1.1\r\n${end}`, ours: [200] },
  { what: 'a body with a length', bytes: post('Content-Length: 3\r\n', 'abc'), ours: [200] },
  {
    what: 'a body in chunks, with extension and trailer',
    bytes: post('Transfer-Encoding: chunked\r\n', '3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n'),
    ours: [200],
  },
  { what: 'two requests at once', bytes: `GET / HTTP/1.1\r\nHost: a\r\n\r\n${last}`, ours: [200, 200] },
  { what: 'an empty line before a request', bytes: `\r\n\r\n${last}`, ours: [200] },
  { what: 'the absolute form', bytes: `GET http://dstack/x HTTP/1.1\r\n${end}`, ours: [200] },
  { what: 'HTTP/1.0', bytes: 'GET / HTTP/1.0\r\n\r\n', ours: [200] },
  { what: 'Content-Type twice, the same', bytes: post('Content-Type: a/b\r\nContent-Type: a/b\r\n'), ours: [200] },
  { what: 'no HTTP', bytes: '\x16\x03\x01\x02\x00\r\n\r\n', ours: [400] },
  { what: 'a lower-case method', bytes: `get / HTTP/1.1\r\n${end}`, ours: [400] },
  { what: 'a target without a slash', bytes: `GET x HTTP/1.1\r\n${end}`, ours: [400] },
  { what: 'a space before the colon', bytes: post('Content-Length : 3\r\n', 'abc'), ours: [400] },
  { what: 'a bare carriage return in a field', bytes: post('A: b\rc\r\n'), ours: [400] },
  { what: 'a NUL in a field', bytes: post('A: b\0\r\n'), ours: [400] },
  { what: 'two lengths', bytes: post('Content-Length: 3\r\nContent-Length: 4\r\n', 'abcd'), ours: [400] },
  { what: 'the same length twice', bytes: post('Content-Length: 3\r\nContent-Length: 3\r\n', 'abc'), ours: [400] },
  { what: 'a signed length', bytes: post('Content-Length: +3\r\n', 'abc'), ours: [400] },
  {
    what: 'length and chunks',
    bytes: post('Content-Length: 3\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    ours: [400],
  },
  { what: 'a chunk size that is none', bytes: post('Transfer-Encoding: chunked\r\n', 'x\r\n\r\n'), ours: [400] },
  {
    what: 'a chunk longer than announced',
    bytes: post('Transfer-Encoding: chunked\r\n', '1\r\nab\r\n0\r\n\r\n'),
    ours: [400],
  },
  {
    what: 'a trailer that is no field',
    bytes: post('Transfer-Encoding: chunked\r\n', '0\r\nX; y\r\n\r\n'),
    ours: [400],
  },
  { what: 'an unknown expectation', bytes: post('Expect: x\r\n'), ours: [417] },
  {
    what: 'bare line feeds', // answered at once: the end of such a header never comes
    bytes: `GET / HTTP/1.1\nHost: a\n${close}\n\n`.replaceAll('\r', ''),
    ours: [400],
  },
  { what: 'a request that ends inside its header', bytes: 'GET / HTTP/1.1\r\nHost: a\r\n', ours: [400] },
  { what: 'a request that ends inside its body', bytes: post('Content-Length: 9\r\n', 'abc'), ours: [400] },
  { what: 'a header beyond the limit', bytes: post(`A: ${'b'.repeat(20_000)}\r\n`), ours: [431] },
];

const DIFFERENT: readonly Row[] = [
  {
    what: 'no Host',
    bytes: `GET / HTTP/1.1\r\n${close}\r\n`,
    ours: [200],
    theirs: [400],
    why: 'there is one host behind a socket, and scripts write requests by hand; the reference answers too',
  },
  {
    what: 'Host twice',
    bytes: `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n${close}\r\n`,
    ours: [400],
    theirs: [200],
    why: 'RFC 9112, section 3.2 wants 400; node:http takes the first',
  },
  {
    what: 'two content types',
    bytes: post('Content-Type: application/json\r\nContent-Type: text/plain\r\n'),
    ours: [400],
    theirs: [200],
    why: 'JSON or protobuf hangs on it: whoever chooses the other one reads another request; node:http takes the first',
  },
  {
    what: 'two authorizations',
    bytes: post('Authorization: a\r\nAuthorization: b\r\n'),
    ours: [400],
    theirs: [200],
    why: 'one value by its definition; node:http takes the first',
  },
  {
    what: 'an unknown method',
    bytes: `BREW / HTTP/1.1\r\n${end}`,
    ours: [200],
    theirs: [400],
    why: 'methods are for the service, which answers 404; the parser of node:http has a list',
  },
  {
    what: 'another transfer encoding',
    bytes: post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
    ours: [501],
    theirs: [200],
    why: 'node:http hands over the body as it came; we cannot unpack it, and RFC 9112, section 6.1 wants 501',
  },
  {
    what: 'chunks in HTTP/1.0',
    bytes: post('Transfer-Encoding: chunked\r\n', '0\r\n\r\n', '1.0'),
    ours: [400],
    theirs: [200],
    why: 'a proxy that speaks 1.0 would see another end of the body (RFC 9112, section 6.1: treat as faulty)',
  },
  {
    what: 'Expect: 100-continue with its body',
    bytes: post('Expect: 100-continue\r\nContent-Length: 3\r\n', 'abc'),
    ours: [200],
    theirs: [100, 200],
    why: 'who has sent the body already waits for nothing (RFC 9110, section 10.1.1 lets it be left out)',
  },
  {
    what: 'HTTP/2.0',
    bytes: `GET / HTTP/2.0\r\n${end}`,
    ours: [505],
    theirs: [200],
    why: 'RFC 9110, section 15.6.6: a version that we do not speak; node:http answers in HTTP/1.1',
  },
  {
    what: 'a request after the last one',
    bytes: `${last}${last}`,
    ours: [200],
    theirs: [400],
    why: 'nothing is read behind the request that ends the connection; node:http lets it destroy the answer to the first',
  },
  {
    what: 'a tunnel',
    bytes: 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n',
    ours: [400],
    theirs: [],
    why: 'neither is a proxy; node:http closes without a word',
  },
  {
    what: 'more than 100 fields',
    bytes: post(Array.from({ length: 110 }, (_, i) => `A${i}: b\r\n`).join('')),
    ours: [431],
    theirs: [200],
    why: 'no client sends as many; node:http drops those beyond its limit of 2000 without a word',
  },
  {
    what: 'a body beyond the limit',
    bytes: post('Content-Length: 2000\r\n', 'a'.repeat(2000)),
    ours: [413],
    theirs: [200],
    why: 'node:http leaves the size of a body to the service; here the handler is told before a byte is kept',
  },
  {
    what: 'rubbish after a good request',
    bytes: 'GET / HTTP/1.1\r\nHost: a\r\n\r\nrubbish\r\n\r\n',
    ours: [200],
    theirs: [400],
    why: 'clients that announce too short a body want the answer to what they did send; node:http lets the rest destroy it',
  },
];

describe('our server beside node:http', () => {
  let served: Served;
  let theirs: Server;
  beforeAll(async () => {
    served = await serveHttp({
      handler: async (request) => {
        try {
          request.body();
        } catch {
          return { status: 413, headers: {}, body: '' };
        }
        return { status: 200, headers: {}, body: '' };
      },
      limits: { body: 1000, linger: 100 },
    });
    theirs = createServer((request, response) => {
      request.on('data', () => {}).on('end', () => response.end());
    });
    theirs.listen(0, '127.0.0.1');
    await once(theirs, 'listening');
  });
  afterAll(async () => {
    theirs.closeAllConnections();
    theirs.close();
    await served.close();
  });

  /** Sends everything, then waits for the end; a server that waits for more is told that there is none. */
  const statuses = async (port: number, bytes: string): Promise<number[]> => {
    const socket = await connect(port);
    socket.on('error', () => {});
    const all = untilClose(socket);
    socket.write(Buffer.from(bytes, 'latin1'));
    const patience = setTimeout(() => socket.end(), 1500);
    const text = await all;
    clearTimeout(patience);
    return [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
  };

  it.each(SAME)('agrees on $what', async ({ bytes, ours }) => {
    expect(await statuses(served.port, bytes)).toEqual(ours);
    expect(await statuses((theirs.address() as AddressInfo).port, bytes)).toEqual(ours);
  });
  it.each(DIFFERENT)('differs on $what, because $why', async ({ bytes, ours, theirs: other, why }) => {
    expect(await statuses(served.port, bytes)).toEqual(ours);
    expect(await statuses((theirs.address() as AddressInfo).port, bytes)).toEqual(other);
    expect(other).not.toEqual(ours);
    expect(why).not.toBe('');
  });
});

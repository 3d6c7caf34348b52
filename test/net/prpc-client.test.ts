import { mkdtemp, rm } from 'node:fs/promises';
import * as http from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { callJson } from '../../src/net/prpc-client.ts';

let dir: string;
const closers: (() => void)[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'prpc-'));
});
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await rm(dir, { recursive: true, force: true });
});

interface Seen {
  method?: string | undefined;
  url?: string | undefined;
  headers?: http.IncomingHttpHeaders;
  body?: string;
}

async function listen(server: Server | http.Server, where: string | number): Promise<string> {
  await new Promise<void>((resolve) => server.listen(where as string, resolve));
  closers.push(() => {
    server.close();
    if (server instanceof http.Server) server.closeAllConnections();
  });
  return typeof where === 'string' ? `unix:${where}` : `http://127.0.0.1:${(server.address() as AddressInfo).port}/api`;
}

/** An HTTP server that records the request and answers with `status` and `body`. */
async function answering(status: number, body: string | Buffer, where: string | number = 0) {
  const seen: Seen = {};
  const server = http.createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      Object.assign(seen, { method: request.method, url: request.url, headers: request.headers, body: text });
      response.writeHead(status).end(body);
    });
  });
  return { url: await listen(server, where), seen };
}

/** A TCP server that does what it is told with the raw connection. */
async function raw(handle: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => handle(socket));
  });
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
  });
  return listen(server, 0);
}

const failure = async (promise: Promise<unknown>): Promise<DstackError> => {
  const thrown = await promise.then(
    (value) => expect.fail(`succeeded with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(DstackError);
  return thrown as DstackError;
};

describe('callJson', () => {
  it('posts JSON to <base>/<Method>?json without a content type, over http', async () => {
    const { url, seen } = await answering(200, '{"name":"host","version":"1"}');
    expect(await callJson(`${url}/`, 'Info', { a: 'ä' })).toEqual({ name: 'host', version: '1' });
    expect(seen).toMatchObject({ method: 'POST', url: '/api/Info?json', body: '{"a":"ä"}' });
    expect(seen.headers?.['content-type']).toBeUndefined();
    expect(seen.headers?.['content-length']).toBe('10');
  });

  it('works over a unix socket', async () => {
    const { url, seen } = await answering(200, '', join(dir, 'host.sock'));
    expect(await callJson(url, 'Notify', {})).toBeNull();
    expect(seen.url).toBe('/Notify?json');
  });

  it('shows the message of a failed call', async () => {
    const { url } = await answering(400, '{\n  "error": "vm not\\u0000 found"\n}');
    const error = await failure(callJson(url, 'Notify', {}));
    expect(error.code).toBe('HOST_API_FAILED');
    expect(error.message).toContain('status 400');
    expect(error.cause).toBe('vm not\\x00 found');
  });

  it('takes a redirect for a failure', async () => {
    const { url } = await answering(302, '');
    expect((await failure(callJson(url, 'Notify', {}))).message).toContain('status 302');
  });

  it('refuses an answer that is not JSON', async () => {
    const { url } = await answering(200, '<html>');
    expect((await failure(callJson(url, 'Info', {}))).code).toBe('HOST_API_FAILED');
  });

  it('refuses a flood', async () => {
    const { url } = await answering(200, Buffer.alloc(300_000, 0x20));
    const error = await failure(callJson(url, 'Info', {}, { maxBytes: 100_000 }));
    expect(error.message).toContain('more than 100000 bytes');
  });

  it('gives up on a service that never ends its answer', async () => {
    const url = await raw((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{'));
    const error = await failure(callJson(url, 'Info', {}, { timeoutMs: 50 }));
    expect(error.code).toBe('HOST_API_UNREACHABLE');
    expect(error.message).toContain('did not answer within 50 ms');
  });

  it('gives up on a service that says nothing', async () => {
    const url = await raw(() => {});
    expect((await failure(callJson(url, 'Info', {}, { timeoutMs: 50 }))).code).toBe('HOST_API_UNREACHABLE');
  });

  it.each([
    ['a cut answer', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}'],
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n'],
    ['endless headers', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(40_000)}\r\n\r\n{}`],
  ])('reports %s', async (_, bytes) => {
    const url = await raw((socket) => socket.end(bytes));
    expect((await failure(callJson(url, 'Info', {}, { timeoutMs: 5000 }))).code).toBe('HOST_API_UNREACHABLE');
  });

  it('reports a socket that is not there', async () => {
    const error = await failure(callJson(`unix:${dir}/missing.sock`, 'Info', {}));
    expect(error.code).toBe('HOST_API_UNREACHABLE');
    expect(String((error.cause as Error).message)).toContain('ENOENT');
  });

  it('can be given up from outside', async () => {
    const abort = new AbortController();
    const url = await raw(() => abort.abort());
    expect((await failure(callJson(url, 'Info', {}, { signal: abort.signal }))).message).toContain('was given up');
  });

  it('uses the codes of its caller', async () => {
    const error = await failure(callJson(`unix:${dir}/x`, 'Info', {}, { unreachable: 'KMS_UNREACHABLE' }));
    expect(error.code).toBe('KMS_UNREACHABLE');
  });
});

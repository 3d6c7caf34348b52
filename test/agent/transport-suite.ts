/** The transport over real sockets. Runs under Node and, as the binary does, under Bun. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Address, parseAddress } from '../../src/agent/listen/address.ts';
import { Listener } from '../../src/agent/listen/listener.ts';
import { rpcHandler } from '../../src/agent/rpc/rpc.ts';
import { DstackError } from '../../src/errors.ts';
import { type HttpLimits, HttpServer } from '../../src/http/http.ts';
import { ask, askJson, connect, parseAnswer, untilClose } from './raw-client.ts';

const handler = rpcHandler(
  'DstackGuest',
  {
    GetKey: async ({ path }) => ({ key: new TextEncoder().encode(path), signature_chain: [] }),
    Sign: async ({ algorithm }) => {
      throw new DstackError('ALGORITHM_UNSUPPORTED', 'Unsupported algorithm', { cause: new Error(algorithm) });
    },
    Version: async () => ({ version: 'grüße 🔑', rev: 'unknown' }),
    EmitEvent: async () => ({}),
  },
  { base: '/' },
);

export function transportSuite(): void {
  describe('transport', () => {
    let dir = '';
    const open: { listener: Listener; http: HttpServer }[] = [];
    const serve = async (address: Address, limits: Partial<HttpLimits> = {}): Promise<Listener> => {
      const http = new HttpServer({ handler, limits, headers: { server: 'dstack guest agent' } });
      const listener = new Listener({ name: 'test', address, http, pauseMs: 20 });
      open.push({ listener, http });
      await listener.start();
      return listener;
    };
    const unix = (name: string): Address => ({ kind: 'unix', path: join(dir, name), reuse: true });
    let path = '';

    beforeAll(async () => {
      dir = mkdtempSync(join(tmpdir(), 'dstack-transport-'));
      path = join(dir, 'main.sock');
      await serve(unix('main.sock'), { linger: 100 });
    });
    afterAll(async () => {
      await Promise.all(open.map(({ listener, http }) => Promise.all([listener.stop(), http.close()])));
      rmSync(dir, { recursive: true, force: true });
    });

    it('answers JSON with Content-Length and without chunks', async () => {
      const answer = await askJson(path, '/GetKey', { path: 'a' });
      expect(answer).toMatchObject({ status: 200, body: '{"key":"61","signature_chain":[]}' });
      expect(answer.headers).toMatchObject({
        'content-type': 'application/json',
        'content-length': '33',
        server: 'dstack guest agent',
      });
      expect(answer.headers).not.toHaveProperty('transfer-encoding');
      expect(answer.raw).toMatch(/\r\ncontent-length: 33\r\n/i);
    });
    it('answers GET with the query as message', async () => {
      expect((await ask(path, 'GET', '/GetKey?path=b%20c&x=1')).body).toBe('{"key":"622063","signature_chain":[]}');
    });
    it('answers HEAD as GET, without the content', async () => {
      for (const route of ['/GetKey?path=b%20c', '/Nope', '/']) {
        const [head, get] = [await ask(path, 'HEAD', route), await ask(path, 'GET', route)];
        expect(head.body).toBe('');
        const { date: _, ...fields } = get.headers;
        expect(head).toMatchObject({ status: get.status, headers: fields });
      }
    });
    it('answers protobuf unless JSON is asked for', async () => {
      const body = Buffer.from('0a0161', 'hex');
      const answer = await ask(path, 'POST', '/GetKey', body);
      expect(answer.headers['content-type']).toBe('application/octet-stream');
      expect(Buffer.from(answer.body, 'latin1').toString('hex')).toBe('0a0161');
      for (const query of ['?json', '?json=1', '?json=true', '?a=b&json='])
        expect((await ask(path, 'POST', `/GetKey${query}`, '{"path":"a"}')).body).toBe(
          '{"key":"61","signature_chain":[]}',
        );
      expect((await ask(path, 'POST', '/GetKey?json=0', body)).headers['content-type']).toBe(
        'application/octet-stream',
      );
    });
    it('writes an Empty answer as null, or as no bytes', async () => {
      expect((await askJson(path, '/EmitEvent', {})).body).toBe('null');
      expect(await ask(path, 'POST', '/EmitEvent', new Uint8Array(0))).toMatchObject({ status: 200, body: '' });
    });
    it('keeps answers in ASCII', async () => {
      const answer = await askJson(path, '/Version');
      expect(answer.body).toBe('{"version":"gr\\u00fc\\u00dfe \\ud83d\\udd11","rev":"unknown"}');
    });
    it('ignores the body of a method that has no request', async () => {
      expect((await ask(path, 'POST', '/Version?json', '\xff not json')).status).toBe(200);
    });
    it.each([
      ['/Nope', 'Service not found: Nope'],
      ['/getKey', 'Service not found: getKey'],
      ['/DstackGuest.GetKey', 'Service not found: DstackGuest.GetKey'],
      ['/toString', 'Service not found: toString'],
      ['/Attest', 'Service not found: Attest'], // in the table, but not offered here
    ])('answers %s with 400 and the pretty error', async (route, text) => {
      const answer = await askJson(path, route);
      expect(answer).toMatchObject({ status: 400, body: `{\n  "error": "${text}"\n}` });
      expect(answer.headers['content-type']).toBe('application/json');
    });
    it('joins the causes of an error and sends them as protobuf too', async () => {
      expect((await askJson(path, '/Sign', { algorithm: 'x' })).body).toBe(
        '{\n  "error": "Unsupported algorithm: x"\n}',
      );
      const answer = await ask(path, 'POST', '/Sign', Buffer.from('0a0178', 'hex'));
      expect(answer).toMatchObject({ status: 400, body: `\n${String.fromCharCode(24)}Unsupported algorithm: x` });
    });
    it('answers other routes with 404, and other methods with 405 and those that there are', async () => {
      for (const route of ['/', '/prpc/GetKey', '/GetKey/', '//GetKey'])
        expect((await askJson(path, route)).status).toBe(404);
      for (const method of ['PUT', 'OPTIONS', 'HEADER'])
        expect(await ask(path, method, '/GetKey', '{}')).toMatchObject({
          status: 405,
          headers: { allow: 'GET, HEAD, POST', 'content-type': 'application/json' },
        });
      const json = await ask(path, 'GET', '/a/b', undefined, { Accept: 'application/json' });
      expect(JSON.parse(json.body).error.code).toBe(404);
    });
    it('refuses a body beyond the limit before reading it, as JSON only if the URL says so', async () => {
      const lengths = { 'Content-Type': 'application/json', 'Content-Length': '10485761' };
      const json = await ask(path, 'POST', '/GetKey?json', undefined, lengths);
      expect(json).toMatchObject({ status: 400, body: '{\n  "error": "failed to read data: payload too large"\n}' });
      const binary = await ask(path, 'POST', '/GetKey', undefined, lengths);
      expect(binary.headers['content-type']).toBe('application/octet-stream');
    });
    it('refuses a chunked body beyond the limit', async () => {
      await serve(unix('small.sock'), { body: 1000 });
      const socket = await connect(join(dir, 'small.sock'));
      const answer = untilClose(socket);
      socket.write('POST /GetKey?json HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
      for (let i = 0; i < 3; i++) socket.write(`200\r\n${'x'.repeat(512)}\r\n`);
      expect(parseAnswer(await answer).status).toBe(400);
    });
    it('goes on reading for a moment after it refused a body, so that a sending client is not reset', async () => {
      await serve(unix('linger.sock'), { linger: 300, body: 1000 });
      const socket = await connect(join(dir, 'linger.sock'));
      const closed = untilClose(socket);
      const answered = new Promise<number>((resolve) => socket.once('data', () => resolve(Date.now())));
      socket.write('POST /GetKey?json HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc');
      const at = await answered;
      expect(parseAnswer(await closed).body).toContain('payload too large');
      expect(Date.now() - at).toBeGreaterThan(200);
    });
    it('forgets a client that goes away in the middle of its request', async () => {
      const http = new HttpServer({ handler });
      const listener = new Listener({ name: 'gone', address: unix('gone.sock'), http });
      open.push({ listener, http });
      await listener.start();
      const socket = await connect(join(dir, 'gone.sock'));
      socket.write('POST /GetKey?json HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
      await expect.poll(() => http.connections).toBe(1);
      socket.destroy();
      await expect.poll(() => http.connections).toBe(0);
    });
    it('holds only so many bytes of bodies at the same time, and gives them back', async () => {
      await serve(unix('memory.sock'), { memory: 100_000, linger: 50 });
      const target = join(dir, 'memory.sock');
      const body = JSON.stringify({ path: 'x' }).padEnd(60_000, ' ');
      const slow = await connect(target);
      slow.write(`POST /GetKey?json HTTP/1.1\r\nHost: a\r\nContent-Length: 60001\r\n\r\n${body}`);
      await expect.poll(() => ask(target, 'POST', '/GetKey?json', body).then(({ status }) => status)).toBe(503);
      slow.destroy();
      await expect.poll(() => ask(target, 'POST', '/GetKey?json', body).then(({ status }) => status)).toBe(200);
    });
    it('closes after each answer when connections are not to be kept', async () => {
      await serve(unix('once.sock'), { idle: 0 });
      const socket = await connect(join(dir, 'once.sock'));
      const answer = untilClose(socket);
      socket.write('GET /GetKey HTTP/1.1\r\nHost: a\r\n\r\n');
      expect(parseAnswer(await answer).headers['connection']).toBe('close');
    });
    it('takes a body of exactly 10 MiB', async () => {
      const body = JSON.stringify({ path: '' }).padEnd(10 * 1024 * 1024, ' ');
      expect((await ask(path, 'POST', '/GetKey?json', body)).status).toBe(200);
    });
    it('keeps a connection for the next request', async () => {
      const socket = await connect(path);
      const answer = untilClose(socket);
      const request = 'GET /GetKey?path=q HTTP/1.1\r\nHost: a\r\n\r\n';
      socket.write(request + request);
      await new Promise((resolve) => socket.once('data', resolve));
      socket.write('GET /GetKey?path=q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      expect((await answer).match(/HTTP\/1\.1 200/g)).toHaveLength(3);
    });
    it('answers a client that closes its sending side after the request', async () => {
      const socket = await connect(path);
      const answer = untilClose(socket);
      socket.end('GET /GetKey?path=q HTTP/1.1\r\nHost: a\r\n\r\n');
      expect(parseAnswer(await answer)).toMatchObject({ status: 200, body: '{"key":"71","signature_chain":[]}' });
    });
    it('answers a client that announces too short a body', async () => {
      const socket = await connect(path);
      const answer = untilClose(socket);
      socket.write(
        'POST /Version HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"a":"äöüß"}',
      );
      setTimeout(() => socket.end(), 50).unref();
      expect(parseAnswer(await answer).status).toBe(200);
    });
    it.each([
      ['before a request', ''],
      ['inside the headers', 'POST /GetKey HTTP/1.1\r\nHos'],
      ['inside the body', 'POST /GetKey HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc'],
      ['between requests', 'GET /GetKey HTTP/1.1\r\nHost: a\r\n\r\n'],
    ])('closes a connection that stops %s', async (_, bytes) => {
      await serve(unix('idle.sock'), { idle: 120, request: 5000 });
      const socket = await connect(join(dir, 'idle.sock'));
      const answer = untilClose(socket);
      if (bytes) socket.write(bytes);
      const started = Date.now();
      await answer;
      expect(Date.now() - started).toBeLessThan(3000);
    });
    it('closes a connection that sends its request drop by drop', async () => {
      await serve(unix('slow.sock'), { idle: 1000, request: 300 });
      const socket = await connect(join(dir, 'slow.sock'));
      const drops = setInterval(() => socket.writable && socket.write('x'), 40);
      const answer = untilClose(socket);
      socket.write('POST /GetKey?json HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n');
      const started = Date.now();
      await answer;
      clearInterval(drops);
      expect(Date.now() - started).toBeLessThan(2500);
    });
    it('refuses headers beyond the limit and bytes that are not HTTP', async () => {
      const long = await ask(path, 'GET', '/GetKey', undefined, { 'X-Long': 'y'.repeat(70_000) });
      expect(long.status).not.toBe(200);
      const socket = await connect(path);
      const answer = untilClose(socket);
      socket.write('\x16\x03\x01\x02\x00 hello\r\n\r\n');
      expect(await answer).not.toContain('200');
    });
    it('closes the connection that was silent for longest when there are too many', async () => {
      await serve(unix('few.sock'), { connections: 2 });
      const target = join(dir, 'few.sock');
      const first = await connect(target);
      const closed = untilClose(first);
      const second = await connect(target);
      second.write('GET /GetKey HTTP/1.1\r\nHost: a\r\n\r\n');
      await new Promise((resolve) => second.once('data', resolve));
      expect((await askJson(target, '/GetKey')).status).toBe(200);
      expect(await closed).toBe('');
      second.write('GET /GetKey HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      expect(parseAnswer(await untilClose(second)).status).toBe(200);
    });

    it('replaces a stale socket file but nothing else', async () => {
      const first = await serve(unix('again.sock'));
      const second = await serve(unix('again.sock'));
      expect(second.status().state).toBe('listening');
      expect((await askJson(join(dir, 'again.sock'), '/GetKey')).status).toBe(200);
      await first.stop(); // must not remove the file of the second
      expect((await askJson(join(dir, 'again.sock'), '/GetKey')).status).toBe(200);
      const strict = await serve({ kind: 'unix', path: join(dir, 'again.sock'), reuse: false });
      expect(strict.status()).toMatchObject({
        state: 'failed',
        error: expect.stringContaining('another process listens'),
      });
      writeFileSync(join(dir, 'data.txt'), 'precious');
      const file = await serve(unix('data.txt'));
      expect(file.status().error).toContain('is not a socket');
    });
    it('tries a listener again until it can listen', async () => {
      const first = await serve(parseAddress('t', { address: '127.0.0.1', port: 0 }));
      const port = (first.address as { port: number }).port;
      const second = await serve({ kind: 'tcp', host: '127.0.0.1', port });
      expect(second.status()).toMatchObject({ state: 'failed', address: `127.0.0.1:${port}` });
      await first.stop();
      await expect.poll(() => second.status().state, { timeout: 5000 }).toBe('listening');
      expect(second.status().restarts).toBeGreaterThan(0);
      expect((await askJson(port, '/GetKey')).status).toBe(200);
    });
    it('gives up a stream that nobody reads, and ends its source', async () => {
      let ended = false;
      async function* endless() {
        try {
          for (;;) yield new Uint8Array(65_536);
        } finally {
          ended = true;
        }
      }
      const http = new HttpServer({
        handler: async () => ({ status: 200, headers: {}, body: endless() }),
        limits: { request: 200 },
      });
      const listener = new Listener({ name: 'stuck', address: unix('stuck.sock'), http });
      open.push({ listener, http });
      await listener.start();
      const socket = await connect(join(dir, 'stuck.sock'));
      socket.pause();
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await expect.poll(() => ended, { timeout: 5000 }).toBe(true);
      await expect.poll(() => http.connections).toBe(0);
      socket.destroy();
    });
    it('lets a running answer finish when it stops', async () => {
      let release = () => {};
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      const http = new HttpServer({
        handler: async () => {
          await gate;
          return { status: 200, headers: {}, body: new TextEncoder().encode('late') };
        },
      });
      const listener = new Listener({ name: 'grace', address: unix('grace.sock'), http });
      await listener.start();
      const answer = ask(join(dir, 'grace.sock'), 'GET', '/');
      await expect.poll(() => http.connections).toBe(1);
      const stopped = Promise.all([listener.stop(), http.close(5000)]);
      setTimeout(release, 50);
      expect((await answer).body).toBe('late');
      await stopped;
    });
  });
}

/** What requests hold, and for how long: their bodies as long as their handlers run, whether or not the client is still there. */
import { afterEach, describe, expect, it, vi } from 'vitest';
import { rpcHandler } from '../../src/agent/rpc/rpc.ts';
import type { HttpHandler } from '../../src/http/http.ts';
import { ask, connect, parseAnswer, untilClose } from '../agent/raw-client.ts';
import { gate, type Served, serveHttp } from './serve.ts';

const MiB = 1024 * 1024;
const ok = { status: 200, headers: {}, body: 'ok' };

describe('a busy server', () => {
  let served: Served | undefined;
  afterEach(async () => {
    await served?.close();
    served = undefined;
  });

  /** Sends one request and resets the connection once it was read, without waiting for the response. */
  const sendAndLeave = async (served: Served, text: string, body: Buffer = Buffer.alloc(0)): Promise<void> => {
    const socket = await connect(served.port);
    socket.on('error', () => {});
    const before = served.bytesRead();
    const bytes = Buffer.concat([Buffer.from(text, 'latin1'), body]);
    socket.write(bytes);
    await vi.waitUntil(() => served.bytesRead() - before >= bytes.length, { timeout: 5000, interval: 2 });
    socket.resetAndDestroy();
    await vi.waitUntil(() => served.http.connections === 0, { timeout: 5000, interval: 2 });
  };
  const post = (length: number) => `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n`;

  it.each([
    ['with a length', (body: Buffer<ArrayBuffer>): [string, Buffer<ArrayBuffer>] => [post(body.length), body]],
    [
      'in chunks',
      (body: Buffer<ArrayBuffer>): [string, Buffer<ArrayBuffer>] => [
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n',
        Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]),
      ],
    ],
  ])('keeps bodies of clients that hung up within its memory while their handlers run (%s)', async (_, request) => {
    const { passed, open } = gate();
    let [held, most, refused] = [0, 0, 0];
    const handler: HttpHandler = async (request) => {
      let body: Uint8Array;
      try {
        body = await request.body();
      } catch (thrown) {
        refused++;
        return { ...ok, status: 503, body: (thrown as { code: string }).code };
      }
      held += body.length;
      most = Math.max(most, held);
      await passed;
      held -= body.length;
      return ok;
    };
    served = await serveHttp({ handler, limits: { memory: 4 * MiB, linger: 50 } });
    const { path } = served;
    for (let i = 0; i < 20; i++) await sendAndLeave(served, ...request(Buffer.alloc(MiB / 2, 0x61)));
    expect(most).toBeGreaterThanOrEqual(MiB);
    expect(most).toBeLessThanOrEqual(4 * MiB);
    expect(refused).toBeGreaterThan(0);
    // still full, for everybody
    expect(await ask(path, 'POST', '/', Buffer.alloc(MiB))).toMatchObject({ status: 503, body: 'RPC_BUSY' });
    open();
    await expect.poll(() => ask(path, 'POST', '/', Buffer.alloc(MiB)).then(({ status }) => status)).toBe(200);
    expect(held).toBe(0);
  });

  it('gives back what a client that left in the middle of its body had sent', async () => {
    served = await serveHttp({
      handler: async (request) => ((await request.body()).length > 0 ? ok : ok),
      limits: { memory: MiB },
    });
    const { path } = served;
    for (let i = 0; i < 10; i++) await sendAndLeave(served, post(MiB), Buffer.alloc(MiB - 1));
    expect(await ask(path, 'POST', '/', Buffer.alloc(MiB - 1))).toMatchObject({ status: 200 });
  });

  it('bounds the handlers that run, of clients that hung up too, and says that it is busy', async () => {
    const { passed, open } = gate();
    let [running, most] = [0, 0];
    const handler: HttpHandler = async () => {
      most = Math.max(most, ++running);
      await passed;
      running--;
      return ok;
    };
    served = await serveHttp({ handler, limits: { handlers: 5 } });
    const { path } = served;
    for (let i = 0; i < 12; i++) await sendAndLeave(served, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(running).toBe(5);
    const busy = await ask(path, 'GET', '/');
    expect(busy.status).toBe(503);
    expect(busy.headers).toMatchObject({ 'retry-after': '1' });
    open();
    await expect.poll(() => ask(path, 'GET', '/').then(({ status }) => status)).toBe(200);
    expect(most).toBe(5);
    expect(running).toBe(0);
  });

  it('goes on with the same connection after it was busy', async () => {
    const { passed, open } = gate();
    served = await serveHttp({
      handler: async ({ path }) => {
        if (path === '/wait') await passed;
        return ok;
      },
      limits: { handlers: 1 },
    });
    await sendAndLeave(served, 'GET /wait HTTP/1.1\r\nHost: a\r\n\r\n');
    const socket = await connect(served.path);
    const answer = untilClose(socket);
    const first = new Promise((resolve) => socket.once('data', resolve));
    socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await first;
    open();
    await new Promise((resolve) => setTimeout(resolve, 20));
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    expect([...(await answer).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['503', '200']);
  });

  it('frees the place of a handler that failed, and of a stream that broke off', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('a');
      throw new Error('broken');
    }
    served = await serveHttp({
      handler: async ({ path }) => {
        if (path === '/throw') throw new Error('thrown');
        return path === '/stream' ? { status: 200, headers: {}, body: broken() } : ok;
      },
      limits: { handlers: 1 },
    });
    const { path } = served;
    for (let i = 0; i < 3; i++) {
      expect((await ask(path, 'GET', '/throw')).status).toBe(500);
      expect((await ask(path, 'GET', '/stream')).status).toBe(200);
      expect((await ask(path, 'HEAD', '/stream')).status).toBe(200);
    }
    expect((await ask(path, 'GET', '/')).status).toBe(200);
  });
});

describe('what a client of the RPC sees of it', () => {
  const open: Served[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((served) => served.close()));
  });
  const serve = async (memory: number) => {
    const handler = rpcHandler('DstackGuest', { Version: async () => ({ version: 'v', rev: 'r' }) }, { base: '/' });
    const served = await serveHttp({ handler, limits: { memory, linger: 50 } });
    open.push(served);
    return served.path;
  };

  it('is "busy", not "too large", and that another try may help', async () => {
    const path = await serve(10);
    const json = await ask(path, 'POST', '/Version?json', '{"a":"bcdefg"}');
    expect(json.status).toBe(503);
    expect(json.headers).toMatchObject({ 'content-type': 'application/json', 'retry-after': '1' });
    expect(JSON.parse(json.body).error).toMatch(/busy/);
    const binary = await ask(path, 'POST', '/Version', Buffer.alloc(20));
    expect(binary.status).toBe(503);
    expect(binary.headers['content-type']).toBe('application/octet-stream');
    expect(binary.body).toMatch(/busy/);
  });
  it('is an answer to the sender of a long body too', async () => {
    const path = await serve(100_000);
    const socket = await connect(path);
    const answer = untilClose(socket);
    socket.on('error', () => {});
    socket.write('POST /Version?json HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
    socket.write(Buffer.alloc(1_000_000));
    expect(parseAnswer(await answer).status).toBe(503);
  });
});

/** Hosts that misbehave: whatever they do, a notification costs the boot no more than its bound. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HostNotifier } from '../../src/boot/notifier.ts';

let dir: string;
let server: Server | undefined;
const sockets = new Set<Socket>();

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'host-'));
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  server?.close();
  server = undefined;
  await rm(dir, { recursive: true });
});

/** A host whose side of each connection is `serve`. */
async function host(serve: (socket: Socket) => void): Promise<string> {
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    serve(socket);
  });
  server.listen(join(dir, 'host.sock'));
  await once(server, 'listening');
  return `unix:${join(dir, 'host.sock')}`;
}

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';
const drip = (socket: Socket) => {
  socket.write(`${HEAD}Content-Length: 100000\r\n\r\n`);
  const timer = setInterval(() => (socket.destroyed ? clearInterval(timer) : socket.write(' ')), 20);
};
const flood = (socket: Socket) => {
  socket.write(`${HEAD}Content-Length: 100000000\r\n\r\n`);
  const chunk = Buffer.alloc(65_536, ' ');
  const more = () => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on('drain', more);
  more();
};

const HOSTS: [string, (socket: Socket) => void][] = [
  ['says nothing', () => {}],
  ['closes at once', (socket) => socket.destroy()],
  ['dies in the middle of its answer', (socket) => socket.end(`${HEAD}Content-Length: 50\r\n\r\nnu`)],
  ['answers garbage', (socket) => socket.end('\u0000\u0001garbage\r\n\r\n')],
  ['answers no JSON', (socket) => socket.end(`${HEAD}Content-Length: 4\r\n\r\nnope`)],
  ['refuses', (socket) => socket.end('HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n')],
  ['sends its answer byte by byte', drip],
  ['floods', flood],
];

describe('a host that', () => {
  it.each(HOSTS)('%s costs no more than the bound', async (_, serve) => {
    const notifier = new HostNotifier();
    notifier.open(await host(serve));
    for (let i = 0; i < 20; i++) notifier.send('boot.progress', `step ${i}`);
    const began = performance.now();
    await notifier.flush(400);
    expect(performance.now() - began).toBeLessThan(3000);
    // and it is over: nothing of the old queue comes later
    expect(await notifier.flush(400)).toBe(true);
  });

  it('is not there costs nothing', async () => {
    const notifier = new HostNotifier();
    notifier.open(`unix:${join(dir, 'nobody.sock')}`);
    notifier.send('boot.progress', 'x');
    expect(await notifier.flush(2000)).toBe(true);
  });
});

/** The agent as a process, under bad clients: it goes on answering good ones, and gives back memory and descriptors. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Guest, makeGuest } from './canned.ts';
import { ask, askJson, connect, untilClose } from './raw-client.ts';

const IDLE_SECONDS = 1;

describe.runIf('Bun' in globalThis)('an agent with bad clients', () => {
  let guest: Guest;
  let child: ChildProcess;
  let log = '';
  const memoryMB = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;
  const descriptors = () => readdirSync(`/proc/${child.pid}/fd`).length;
  const works = async () => {
    const answer = await askJson(guest.dstackSock, '/GetKey', { path: 'good' });
    return answer.status === 200 && (await ask(guest.port, 'GET', '/prpc/Worker.Version')).status === 200;
  };
  let before = { memory: 0, descriptors: 0 };

  beforeAll(async () => {
    guest = await makeGuest();
    const config = JSON.parse(readFileSync(guest.configFile, 'utf8'));
    config.default.keep_alive = IDLE_SECONDS;
    writeFileSync(guest.configFile, JSON.stringify(config));
    child = spawn(process.execPath, ['bin/dstack-util.ts', 'serve', '-c', guest.configFile], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '' },
    });
    child.stderr?.on('data', (text) => {
      log += text;
    });
    await vi.waitUntil(() => existsSync(guest.dstackSock) && existsSync(guest.guestSock), { timeout: 20_000 });
    for (let i = 0; i < 200; i++) await askJson(guest.dstackSock, '/GetKey', { path: String(i) });
    expect(await works()).toBe(true);
    before = { memory: memoryMB(), descriptors: descriptors() };
  }, 60_000);
  afterAll(async () => {
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    await exit;
    guest.remove();
  });

  it('serves others beside 10,000 silent connections, and sheds the oldest', async () => {
    const held: Socket[] = [];
    let most = 0;
    for (let i = 0; i < 10_000; i++) {
      const socket = await connect(guest.dstackSock);
      socket.on('error', () => {});
      socket.on('close', () => socket.destroy());
      held.push(socket);
      if (i % 1000 === 999) {
        expect(await works()).toBe(true);
        most = Math.max(most, descriptors());
      }
      if (held.length > 600) held.shift()?.destroy();
    }
    expect(most).toBeLessThan(before.descriptors + 700);
    for (const socket of held) socket.destroy();
  }, 120_000);

  it('serves others beside hundreds of requests that never end, and closes them', async () => {
    const sockets = await Promise.all(Array.from({ length: 300 }, () => connect(guest.dstackSock)));
    const closed = sockets.map((socket) => untilClose(socket));
    const starts = [
      'POST /GetKey HTTP/1.1\r\nContent-',
      'POST /GetKey HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"pa',
      'POST /GetKey HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"p',
      '',
    ];
    for (const [i, socket] of sockets.entries()) socket.write(starts[i % starts.length] ?? '');
    expect(await works()).toBe(true);
    const answers = await Promise.all(closed);
    expect(answers.every((answer) => !answer.includes('200 OK'))).toBe(true);
  }, 30_000);

  it('takes no more of a body than its limit, from many at once', async () => {
    const big = Buffer.alloc(1024 * 1024, 0x20);
    const send = async (head: string) => {
      const socket = await connect(guest.dstackSock);
      const answer = untilClose(socket);
      socket.on('error', () => {});
      socket.write(`POST /GetKey?json HTTP/1.1\r\nHost: a\r\n${head}\r\n\r\n`);
      for (let i = 0; i < 12 && socket.writable; i++) {
        if (head.startsWith('Transfer')) socket.write('100000\r\n');
        if (!socket.write(big)) await Promise.race([once(socket, 'drain'), answer]);
        if (head.startsWith('Transfer')) socket.write('\r\n');
      }
      return answer;
    };
    const heads = ['Content-Length: 12582912', 'Transfer-Encoding: chunked'];
    const answers = await Promise.all(Array.from({ length: 16 }, (_, i) => send(heads[i % 2] ?? '')));
    for (const answer of answers) if (answer !== '') expect(answer).toMatch(/payload too large|busy/);
    expect(answers.some((answer) => answer !== '')).toBe(true);
    expect(await works()).toBe(true);
  }, 60_000);

  it('answers a thousand requests in one piece, in their order', async () => {
    const socket = await connect(guest.dstackSock);
    const answer = untilClose(socket);
    const requests = Array.from(
      { length: 1000 },
      (_, i) => `GET /GetKey?path=${i % 10}&i=${i} HTTP/1.1\r\nHost: a\r\n\r\n`,
    );
    socket.write(`${requests.join('')}GET /Nope HTTP/1.1\r\nConnection: close\r\n\r\n`);
    const keys = [...(await answer).matchAll(/"key":"([0-9a-f]{64})"/g)].map(([, key]) => key);
    expect(keys).toHaveLength(1000);
    expect(new Set(keys).size).toBe(10);
    for (const [i, key] of keys.entries()) expect(key).toBe(keys[i % 10]);
  }, 30_000);

  it.each([
    ['bytes that are not UTF-8', '/GetKey', Buffer.from('{"path":"\xff"}', 'latin1')],
    ['hex that is none', '/GetQuote', Buffer.from('{"report_data":"zz"}')],
    ['odd hex', '/GetQuote', Buffer.from('{"report_data":"abc"}')],
    ['a body that is not JSON', '/GetKey', Buffer.from('{"path":')],
    ['very deep JSON', '/GetKey', Buffer.from('['.repeat(200_000))],
    ['a number for a text', '/GetKey', Buffer.from('{"path":1}')],
    ['an unknown method', '/__proto__', Buffer.from('{}')],
    ['an unknown algorithm', '/Sign', Buffer.from('{"algorithm":"rsa"}')],
    ['text in hex of a huge size', '/GetQuote', Buffer.from(`{"report_data":"${'ab'.repeat(1_000_000)}"}`)],
  ])('answers %s with 400 and a reason', async (_, path, body) => {
    const answer = await ask(guest.dstackSock, 'POST', `${path}?json`, body);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body).error.length).toBeLessThan(500);
  });
  it('ignores fields that it does not know', async () => {
    const answer = await askJson(guest.dstackSock, '/GetKey', { path: 'good', other: { a: [1] } });
    expect(answer.status).toBe(200);
  });
  it.each([
    '/logs/..%2f..%2fetc%2fpasswd',
    '/logs/../../etc/passwd',
    '/../etc/passwd',
    '//',
    '/prpc//',
    '/prpc/%00',
    '/%ff',
  ])('finds nothing at %s', async (path) =>
    expect((await ask(guest.port, 'GET', path)).status).toBeGreaterThanOrEqual(400),
  );

  it('survives noise', async () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed / 2_147_483_648;
    };
    const words = [
      'GET ',
      'POST ',
      '/GetKey',
      ' HTTP/1.1',
      '\r\n',
      '\r\n\r\n',
      'Content-Length: ',
      '5',
      'Transfer-Encoding: chunked',
      '\0',
      '{"path":',
      'ff',
      '\n',
    ];
    for (let i = 0; i < 300; i++) {
      const socket = await connect(i % 2 ? guest.dstackSock : guest.port);
      socket.on('error', () => {});
      const noise = Array.from(
        { length: 1 + Math.floor(random() * 12) },
        () => words[Math.floor(random() * words.length)],
      );
      socket.end(Buffer.from(noise.join(''), 'latin1'));
      if (i % 50 === 49) expect(await works()).toBe(true);
      socket.resume();
    }
  }, 30_000);

  it('gives back what it took, and logs no more than a few lines a second', async () => {
    await expect.poll(descriptors, { timeout: 15_000, interval: 250 }).toBeLessThanOrEqual(before.descriptors);
    expect(await works()).toBe(true);
    // bodies of 10 MiB went through it many times; what is left is a reserve of the allocator
    await expect.poll(memoryMB, { timeout: 15_000, interval: 250 }).toBeLessThan(before.memory + 20);
    expect(log).not.toContain('INTERNAL');
    expect(log).not.toMatch(/passwd|"path"|zz/);
    expect(log.split('\n').length).toBeLessThan(400);
    console.log(
      `memory ${before.memory.toFixed(0)} MB before, ${memoryMB().toFixed(0)} MB after; descriptors ${before.descriptors}, ${descriptors()}`,
    );
  }, 40_000);
});

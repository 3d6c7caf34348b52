/** The agent as the service manager runs it: a process of its own with inherited sockets, notifications and a watchdog. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { makeGuest } from './canned.ts';
import { ask, askJson } from './raw-client.ts';
import * as manager from './service-manager.ts';

const bun = 'Bun' in globalThis;
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

const { stop } = manager;

function boundSocket(path: string, kind: 'listen' | 'datagram') {
  const { fd, close } = manager.boundSocket(path, kind);
  cleanup.push(close);
  return { fd, receive: () => manager.receive(fd)?.text };
}

function start(options: manager.Start): manager.Started {
  const started = manager.start(options);
  cleanup.push(() => started.child.kill('SIGKILL'));
  return started;
}

describe.runIf(bun)('dstack-util serve as a process', () => {
  const prepare = async () => {
    const guest = await makeGuest();
    cleanup.push(guest.remove);
    const dir = mkdtempSync(join(tmpdir(), 'dstack-serve-'));
    cleanup.push(() => rmSync(dir, { recursive: true, force: true }));
    return { guest, dir };
  };

  it('serves inherited sockets in order, says READY, pings, and leaves the socket files when it stops', async () => {
    const { guest, dir } = await prepare();
    const [first, second] = [join(dir, 'a.sock'), join(dir, 'b.sock')];
    const fds = [boundSocket(first, 'listen').fd, boundSocket(second, 'listen').fd];
    const notify = boundSocket(join(dir, 'notify'), 'datagram');
    const env = { NOTIFY_SOCKET: join(dir, 'notify'), WATCHDOG_USEC: '2000000' };
    const { child, log } = start({ guest, fds, env, args: ['--watchdog'] });
    await expect.poll(() => notify.receive(), { timeout: 15_000 }).toBe('READY=1\nSTATUS=serving 4 of 4 listeners');
    await expect.poll(() => notify.receive(), { timeout: 3000 }).toBe('WATCHDOG=1');
    expect((await askJson(first, '/GetKey', { path: 'a' })).status).toBe(200);
    expect((await askJson(second, '/prpc/Tappd.Version')).status).toBe(200);
    expect((await askJson(first, '/prpc/Tappd.Version')).status).toBe(404);
    expect(existsSync(guest.dstackSock)).toBe(false);
    const ready = JSON.parse((await ask(guest.port, 'GET', '/readyz')).body);
    expect(ready.listeners.slice(0, 2)).toMatchObject([
      { name: 'internal', inherited: true, address: `unix:${first}` },
      { name: 'internal-v0', inherited: true, address: `unix:${second}` },
    ]);
    expect(await stop(child)).toBe(0);
    expect([existsSync(first), existsSync(second)]).toEqual([true, true]);
    expect(log()).toContain('SIGTERM: stopping');
    // the next agent takes over the same sockets
    const next = start({ guest, fds });
    expect((await askJson(first, '/Version')).status).toBe(200); // waited in the backlog until somebody accepted
    await stop(next.child);
  });

  it('says READY also without a watchdog, and binds its own sockets when the inherited ones are not meant for it', async () => {
    const { guest, dir } = await prepare();
    const fds = [boundSocket(join(dir, 'a.sock'), 'listen').fd];
    const notify = boundSocket(join(dir, 'notify'), 'datagram');
    const { child } = start({ guest, fds, pid: '1', env: { NOTIFY_SOCKET: join(dir, 'notify') } });
    await expect.poll(() => notify.receive(), { timeout: 15_000 }).toMatch(/^READY=1/);
    expect((await askJson(guest.dstackSock, '/Version')).status).toBe(200);
    expect(await stop(child)).toBe(0);
    expect([existsSync(guest.dstackSock), existsSync(guest.tappdSock)]).toEqual([false, false]);
  });

  it('is ready although the public port is taken, and takes it when it becomes free', async () => {
    const { guest, dir } = await prepare();
    const squatter = createServer().listen(guest.port, '127.0.0.1');
    await once(squatter, 'listening');
    const notify = boundSocket(join(dir, 'notify'), 'datagram');
    const { child } = start({ guest, env: { NOTIFY_SOCKET: join(dir, 'notify') } });
    await expect
      .poll(() => notify.receive(), { timeout: 15_000 })
      .toBe('READY=1\nSTATUS=serving 3 of 4 listeners, not: external');
    squatter.close();
    await expect
      .poll(
        () =>
          ask(guest.port, 'GET', '/readyz')
            .then(({ status }) => status)
            .catch(() => 0),
        { timeout: 5000 },
      )
      .toBe(200);
    await stop(child);
  });

  it('logs who asked, as the kernel knows it', async () => {
    const { guest, dir } = await prepare();
    const notify = boundSocket(join(dir, 'notify'), 'datagram');
    const env = { NOTIFY_SOCKET: join(dir, 'notify'), DSTACK_LOG: 'debug', JOURNAL_STREAM: '8:1' };
    const { child, log } = start({ guest, env });
    await expect.poll(() => notify.receive(), { timeout: 15_000 }).toMatch(/^READY=1/);
    await askJson(guest.dstackSock, '/GetKey', { path: 'geheim' });
    await askJson(guest.dstackSock, '/Sign', { algorithm: 'geheim' });
    await ask(guest.port, 'GET', '/prpc/Worker.Version');
    const uid = process.getuid?.();
    const us = `uid ${uid} pid ${process.pid}`;
    await expect.poll(log, { timeout: 5000 }).toMatch(/^<7>Worker\.Version 200 ok [\d.]+ ms 127\.0\.0\.1:\d+$/m);
    expect(log()).toMatch(new RegExp(`^<7>DstackGuest\\.GetKey 200 ok [\\d.]+ ms ${us}$`, 'm'));
    expect(log()).toMatch(new RegExp(`^<6>DstackGuest\\.Sign 400 ALGORITHM_UNSUPPORTED [\\d.]+ ms ${us}$`, 'm'));
    expect(log()).not.toContain('geheim');
    await stop(child);
  });

  it('ends with a message when the app cannot be read', async () => {
    const { guest } = await prepare();
    writeFileSync(join(guest.dir, 'app-compose.json'), '{');
    const { child, log } = start({ guest });
    await once(child, 'exit');
    expect(child.exitCode).toBe(1);
    expect(log()).toContain('error [JSON_INVALID]');
  });
});

/** The agent as the service manager runs it: a process of its own with inherited sockets, notifications and a watchdog. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Guest, makeGuest } from './canned.ts';
import { ask, askJson } from './raw-client.ts';

const bun = 'Bun' in globalThis;
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

/** A bound unix socket by descriptor: a listening stream socket, or a datagram socket to receive notifications. */
async function boundSocket(path: string, kind: 'listen' | 'datagram') {
  const { dlopen, ptr } = await import('bun:ffi');
  const { symbols: libc } = dlopen('libc.so.6', {
    socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
    listen: { args: ['i32', 'i32'], returns: 'i32' },
    recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
    close: { args: ['i32'], returns: 'i32' },
  });
  const fd = libc.socket(1, kind === 'listen' ? 1 : 2, 0);
  const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(`${path}\0`)]);
  expect(libc.bind(fd, ptr(address), address.length)).toBe(0);
  if (kind === 'listen') expect(libc.listen(fd, 16)).toBe(0);
  cleanup.push(() => libc.close(fd));
  return {
    fd,
    /** the next datagram, if there is one */
    receive(): string | undefined {
      const buffer = Buffer.alloc(512);
      const length = Number(libc.recv(fd, ptr(buffer), BigInt(buffer.length), 0x40));
      return length < 0 ? undefined : buffer.subarray(0, length).toString();
    },
  };
}

interface Start {
  readonly guest: Guest;
  readonly fds?: readonly number[];
  readonly env?: Record<string, string>;
  readonly args?: readonly string[];
  /** LISTEN_PID, default the agent’s own */
  readonly pid?: string;
}

function start({ guest, fds = [], env = {}, args = [], pid = '$$' }: Start): {
  child: ChildProcess;
  log: () => string;
} {
  const script = `export LISTEN_PID=${pid} LISTEN_FDS=${fds.length}; exec "$@"`;
  const command = [process.execPath, 'bin/dstack-util.ts', 'serve', '-c', guest.configFile, ...args];
  const child = spawn('bash', ['-c', script, 'bash', ...command], {
    stdio: ['ignore', 'pipe', 'pipe', ...fds],
    env: { PATH: process.env['PATH'] ?? '', HOME: '/root', ...env },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (text += chunk));
  cleanup.push(() => child.kill('SIGKILL'));
  return { child, log: () => text };
}

async function stop(child: ChildProcess): Promise<number | null> {
  const exit = child.exitCode === null ? once(child, 'exit') : undefined;
  child.kill('SIGTERM');
  await exit;
  return child.exitCode;
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
    const fds = [(await boundSocket(first, 'listen')).fd, (await boundSocket(second, 'listen')).fd];
    const notify = await boundSocket(join(dir, 'notify'), 'datagram');
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
    const fds = [(await boundSocket(join(dir, 'a.sock'), 'listen')).fd];
    const notify = await boundSocket(join(dir, 'notify'), 'datagram');
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
    const notify = await boundSocket(join(dir, 'notify'), 'datagram');
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

  it('ends with a message when the app cannot be read', async () => {
    const { guest } = await prepare();
    writeFileSync(join(guest.dir, 'app-compose.json'), '{');
    const { child, log } = start({ guest });
    await once(child, 'exit');
    expect(child.exitCode).toBe(1);
    expect(log()).toContain('error [JSON_INVALID]');
  });
});

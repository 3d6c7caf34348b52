import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { native } from '../../src/sys/native.ts';
import { sdNotify } from '../../src/sys/notify.ts';

const folder = mkdtempSync(join(tmpdir(), 'native-'));

describe('libc through bun:ffi', () => {
  it('binds a folder to another one', async () => {
    const [source, target] = [join(folder, 'source'), join(folder, 'target')];
    for (const path of [join(source, 'inside'), target]) mkdirSync(path, { recursive: true });
    const module = JSON.stringify(join(import.meta.dirname, '../../src/sys/mounts.ts'));
    const script = `
      const { bindMount } = await import(${module});
      await bindMount('${source}', '${target}');
      console.log((await import('node:fs')).readdirSync('${target}').join());
      await bindMount('${source}', '${target}/nowhere').catch((thrown) => console.log(thrown.code, thrown.cause.code));`;
    // namespaces of its own: nothing of this machine changes
    const unshare = ['--map-root-user', '--mount', '--propagation', 'private', process.execPath, '-e', script];
    const { stdout, stderr } = spawnSync('unshare', unshare, { encoding: 'utf8' });
    expect(stdout, stderr).toBe('inside\nMOUNT_FAILED ENOENT\n');
    expect(readdirSync(target)).toEqual([]);
  });

  it('reports errno by name when an ioctl is refused', async () => {
    const fd = openSync('/dev/null', 'r');
    try {
      const { ioctl } = await native();
      expect(() => ioctl(fd, 0xc4405401, new Uint8Array(1088))).toThrowError(/ENOTTY/);
    } finally {
      closeSync(fd);
    }
  });

  it('holds an exclusive lock against another process until the descriptor is closed', async () => {
    const path = join(folder, 'lock');
    const fd = openSync(path, 'w');
    await (await native()).flockExclusive(fd);
    const other = () => spawnSync('flock', ['--nonblock', path, 'true']).status;
    expect(other()).toBe(1);
    closeSync(fd);
    expect(other()).toBe(0);
  });

  it('waits for a lock that somebody else holds', async () => {
    const path = join(folder, 'contended');
    const holder = openSync(path, 'w');
    const waiter = openSync(path, 'w');
    const { flockExclusive } = await native();
    await flockExclusive(holder);
    let got = false;
    const waiting = flockExclusive(waiter).then(() => {
      got = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(got).toBe(false);
    closeSync(holder);
    await waiting;
    expect(got).toBe(true);
    closeSync(waiter);
  });

  it('tells who is at the other end of a unix socket', async () => {
    const path = join(folder, 'peer.sock');
    const { peerCredentials } = await native();
    const seen = await new Promise((resolve, reject) => {
      const server = net.createServer((socket) => {
        const handle = (socket as unknown as { _handle: { fd: number } })._handle;
        resolve(peerCredentials(handle.fd));
        socket.destroy();
        server.close();
      });
      server.on('error', reject);
      server.listen(path, () =>
        net
          .connect(path)
          .on('error', () => {})
          .resume(),
      );
    });
    expect(seen).toEqual({ pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
  });

  it('refuses a vsock connection to a port nobody listens on instead of waiting for ever', async () => {
    const { vsockConnect } = await native();
    await expect(vsockConnect(1, 40_999, 2000)).rejects.toThrowError(/connect|socket/);
  });
});

describe('sd_notify', () => {
  it('does nothing outside a service manager', async () => {
    delete process.env['NOTIFY_SOCKET'];
    expect(await sdNotify('READY=1')).toBe(false);
  });

  it.each(['path', 'abstract'])('delivers the datagram to a %s socket', async (kind) => {
    const path = kind === 'path' ? join(folder, 'notify.sock') : `@notify-${process.pid}`;
    const receiver = await datagramReceiver(path);
    process.env['NOTIFY_SOCKET'] = path;
    try {
      expect(await sdNotify('READY=1', 'STATUS=up')).toBe(true);
      expect(receiver.receive()).toBe('READY=1\nSTATUS=up');
    } finally {
      delete process.env['NOTIFY_SOCKET'];
      receiver.close();
    }
  });

  it('throws when nobody receives', async () => {
    process.env['NOTIFY_SOCKET'] = join(folder, 'nobody.sock');
    await expect(sdNotify('READY=1')).rejects.toThrowError(/ENOENT/);
    delete process.env['NOTIFY_SOCKET'];
  });
});

/** A bound unix datagram socket: Node and Bun have none of their own. */
async function datagramReceiver(path: string): Promise<{ receive(): string; close(): void }> {
  const { dlopen, ptr } = await import('bun:ffi');
  const { symbols: libc } = dlopen('libc.so.6', {
    socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
    recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
    close: { args: ['i32'], returns: 'i32' },
  });
  const fd = libc.socket(1, 2, 0);
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`);
  const address = Buffer.concat([Buffer.from([1, 0]), name]);
  expect(libc.bind(fd, ptr(address), address.length)).toBe(0);
  return {
    receive() {
      const buffer = Buffer.alloc(256);
      const dontWait = 0x40;
      return buffer.subarray(0, Number(libc.recv(fd, ptr(buffer), 256n, dontWait))).toString();
    },
    close: () => libc.close(fd),
  };
}

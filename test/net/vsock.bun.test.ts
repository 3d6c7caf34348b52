/**
 * The vsock transport: a connected descriptor is adopted as a socket and HTTP runs over it. Machines without vsock exist,
 * so the descriptor here is one of a unix socket; everything behind connect(2) is the same.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import * as http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { callJson } from '../../src/net/prpc-client.ts';
import { type Native, setNative } from '../../src/sys/native.ts';

const inBun = 'Bun' in globalThis;

/** socket(2) and connect(2) to a unix path: what `vsockConnect` leaves behind is just such a descriptor. */
async function connectedDescriptor(path: string): Promise<number> {
  const { dlopen, ptr } = await import('bun:ffi');
  const { symbols } = dlopen('libc.so.6', {
    socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  });
  const [AF_UNIX, SOCK_STREAM] = [1, 1];
  const address = Buffer.alloc(110);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  const fd = symbols.socket(AF_UNIX, SOCK_STREAM, 0);
  expect(symbols.connect(fd, ptr(address), 2 + path.length + 1)).toBe(0);
  return fd;
}

describe.runIf(inBun)('callJson over vsock', () => {
  let dir: string;
  let server: http.Server;
  const asked: [number, number][] = [];

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'vsock-'));
    const path = join(dir, 'peer.sock');
    server = http.createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => response.end(JSON.stringify({ url: request.url, body })));
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    setNative({
      vsockConnect: async (cid: number, port: number) => {
        asked.push([cid, port]);
        return connectedDescriptor(path);
      },
    } as Partial<Native> as Native);
  });
  afterEach(async () => {
    setNative(undefined);
    server.close();
    await rm(dir, { recursive: true, force: true });
  });

  it('speaks HTTP over the adopted descriptor, call after call', async () => {
    for (const n of [1, 2, 3]) {
      expect(await callJson('vsock://2:10240/api', 'Notify', { n }, { timeoutMs: 3000 })).toEqual({
        url: '/api/Notify?json',
        body: JSON.stringify({ n }),
      });
    }
    expect(asked.at(-1)).toEqual([2, 10240]);
  });
});

/** The device itself is real in the VM test of the gateway; here its sockets are played, and its program is looked for. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { VsockDevice, vsockDevice } from '../../initramfs/vm/vsock.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vsock-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A program with the options of the device that makes its control socket and waits. */
function program(): string {
  const file = join(dir, 'vhost-device-vsock');
  writeFileSync(file, '#!/bin/sh\nwhile [ "$1" != --socket ]; do shift; done\ntouch "$2"\nexec sleep 60\n');
  chmodSync(file, 0o755);
  return file;
}

/** Asks a device whose socket behaves so. */
async function ask(behave: (socket: Socket, line: string) => void) {
  const path = join(dir, 'vsock');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', (line) => behave(socket, line.toString()));
  }).listen(path);
  const control = join(dir, 'control');
  rmSync(control, { force: true }); // of the device before: this one is ready when it has made its own
  const device = await VsockDevice.start(program(), control, path);
  try {
    return await device.ask(8000, '/api/Info');
  } finally {
    device.close();
    server.close();
  }
}

it('finds the program on the path, only if it may be started', () => {
  expect(vsockDevice(dir)).toBeUndefined();
  const file = program();
  expect(vsockDevice(`/nowhere:${dir}`)).toBe(file);
  chmodSync(file, 0o644);
  expect(vsockDevice(dir)).toBeUndefined();
});

it('says which port it wants, then speaks HTTP with the guest', async () => {
  const lines: string[] = [];
  const answer = await ask((socket, line) => {
    lines.push(line);
    // the first bytes of the answer right behind the line
    socket.once('data', (request) => {
      lines.push(request.toString().split('\r\n')[0]!);
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi');
    });
    socket.write('OK 1073741824\n');
  });
  expect(lines).toEqual(['CONNECT 8000\n', 'GET /api/Info HTTP/1.1']);
  expect(answer).toEqual({ status: 200, text: 'hi' });
});

it('fails when nobody listens in the guest, or something else answers', async () => {
  await expect(ask((socket) => socket.destroy())).rejects.toThrow('vsock port 8000 of the guest: closed');
  await expect(ask((socket) => socket.end('no\n'))).rejects.toThrow('vsock port 8000 of the guest: no');
  await expect(ask((socket) => socket.end('x'.repeat(4096)))).rejects.toThrow('no line as an answer');
});

/** The whole way over a connected descriptor, as Bun adopts it; a unix socket stands in for vsock. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { contentOfReport, mockQuote } from '../../simulator/mock-quote.ts';
import { mockPki } from '../../simulator/pki.ts';
import { setNative } from '../../src/sys/native.ts';
import { takeQuote } from '../../src/tdx/quote.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { REPORT_OFFSET, TDX_CMD_GET_REPORT0 } from '../../src/tdx/report.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';
import { fakeNative } from './fake-native.ts';
import { FakeTsm } from './fake-tsm.ts';

/** A connected AF_UNIX descriptor that no object of the runtime owns. */
async function connectedDescriptor(path: string): Promise<number> {
  const { dlopen, ptr } = await import('bun:ffi');
  const { symbols } = dlopen('libc.so.6', {
    socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  });
  const address = Buffer.concat([Buffer.from([1, 0]), Buffer.from(path), Buffer.from([0])]);
  const fd = symbols.socket(1, 1 | 0o2000000, 0);
  expect(symbols.connect(fd, ptr(address), address.length)).toBe(0);
  // what vsockConnect promises: a non-blocking descriptor
  const { symbols: more } = dlopen('libc.so.6', { fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' } });
  more.fcntl(fd, 4, 0o4000);
  return fd;
}

it.runIf('Bun' in globalThis)('takes a quote from a quote generation service', async () => {
  const root = mkdtempSync(join(tmpdir(), 'qgs-'));
  const pki = mockPki(new Uint8Array(32).fill(0x31));
  const server = net.createServer((socket) => {
    let received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 1052) return;
      const quote = mockQuote(pki, contentOfReport(Uint8Array.from(received.subarray(28))));
      const answer = Buffer.alloc(28);
      answer.writeUInt32BE(24 + quote.length, 0);
      answer.writeUInt16LE(1, 4);
      answer.writeUInt32LE(1, 8);
      answer.writeUInt32LE(24 + quote.length, 12);
      answer.writeUInt32LE(quote.length, 24);
      socket.write(Buffer.concat([answer, quote]));
    });
  });
  try {
    mkdirSync(join(root, 'etc'));
    mkdirSync(join(root, 'dev'));
    writeFileSync(join(root, 'etc/tdx-attest.conf'), 'port = 4050\n');
    writeFileSync(join(root, 'dev/tdx_guest'), '');
    const path = join(root, 'qgs.sock');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    setNative(
      fakeNative({
        ioctl(_fd, request, argument) {
          expect(request).toBe(TDX_CMD_GET_REPORT0);
          argument.set(argument.slice(0, 64), 64 + REPORT_OFFSET.reportData);
        },
        async vsockConnect(cid, port) {
          expect([cid, port]).toEqual([2, 4050]);
          return connectedDescriptor(path);
        },
      }),
    );
    const reportData = new Uint8Array(64).fill(0x2b);
    // with configfs there as well the service comes first
    const files = new FakeTsm({ reportDir: `${root}/sys/kernel/config/tsm/report` });
    expect(parseQuote(await takeQuote(reportData, { ...realTdxMachine, root, files })).body.reportData).toEqual(
      reportData,
    );
    expect(files.calls).toEqual([]);
    for (let round = 0; round < 3; round++) {
      const { body } = parseQuote(await takeQuote(reportData, { ...realTdxMachine, root }));
      expect(body.reportData).toEqual(reportData);
    }
  } finally {
    setNative(undefined);
    server.close();
    rmSync(root, { recursive: true });
  }
});

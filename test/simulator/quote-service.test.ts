import { mkdtempSync, rmSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { answerRequest, serveConnection } from '../../simulator/quote-service.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { decodeResponse, encodeRequest, exchange } from '../../src/tdx/quote-qgs.ts';
import { REPORT_OFFSET } from '../../src/tdx/report.ts';
import { PKI } from '../tdx/sample.ts';

let dir: string;
let server: net.Server;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'qgs-sim-'));
  server = net.createServer((socket) => serveConnection(socket, PKI));
  await new Promise<void>((resolve) => server.listen(join(dir, 'socket'), resolve));
});
afterEach(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

const report = new Uint8Array(1024);
report.fill(0x42, REPORT_OFFSET.reportData, REPORT_OFFSET.reportData + 64);
report.fill(0xa3, REPORT_OFFSET.rtmr0 + 144, REPORT_OFFSET.rtmr0 + 192);

it('turns a report into a quote with the same content', async () => {
  const { body } = parseQuote(await exchange(net.connect(join(dir, 'socket')), report));
  expect(body.reportData).toEqual(new Uint8Array(64).fill(0x42));
  expect(body.rtmrs[3]).toEqual(new Uint8Array(48).fill(0xa3));
});

it('answers what is no request with an error', () => {
  const request = encodeRequest(report).slice(4);
  request[4] = 7;
  expect(() => decodeResponse(answerRequest(request, PKI).subarray(4))).toThrowError(/error 0x00012002/);
});

it('ends a connection that promises too much', async () => {
  const socket = net.connect(join(dir, 'socket'));
  socket.write(Buffer.from('7fffffff', 'hex'));
  await new Promise((closed) => socket.on('close', closed));
});

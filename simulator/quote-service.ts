/**
 * Plays the host's quote generation service on a vsock port (Intel DCAP, quote generation service message format): a TD
 * report comes in, a quote of the mock quoting enclave goes out. In a VM without a virtio-vsock device the loopback
 * transport also serves CID 2, so guest and service can share one machine.
 */
import * as net from 'node:net';
import { native, VMADDR_CID_ANY } from '../src/sys/native.ts';
import { TD_REPORT_SIZE } from '../src/tdx/report.ts';
import * as ui from '../src/ui.ts';
import { contentOfReport, mockQuote } from './mock-quote.ts';
import { type MockPki, mockPki } from './pki.ts';

const HEADER = 16;
const REQUEST_SIZE = HEADER + 8 + TD_REPORT_SIZE;
const TYPE_GET_QUOTE = 0;
const TYPE_GET_QUOTE_RESPONSE = 1;
/** QGS_MSG_ERROR_INVALID_PARAM of Intel's service */
const ERROR_INVALID = 0x00012002;

/** Answers one request (without its length prefix) with one response (with it). */
export function answerRequest(request: Uint8Array, pki: MockPki): Uint8Array {
  const view = new DataView(request.buffer, request.byteOffset, request.byteLength);
  const valid =
    request.length === REQUEST_SIZE &&
    view.getUint16(0, true) === 1 &&
    view.getUint32(4, true) === TYPE_GET_QUOTE &&
    view.getUint32(8, true) === REQUEST_SIZE &&
    view.getUint32(16, true) === TD_REPORT_SIZE;
  const quote = valid ? mockQuote(pki, contentOfReport(request.slice(HEADER + 8))) : new Uint8Array();
  const size = HEADER + 8 + quote.length;
  const out = new Uint8Array(4 + size);
  const answer = new DataView(out.buffer);
  answer.setUint32(0, size, false);
  answer.setUint16(4, 1, true);
  answer.setUint32(8, TYPE_GET_QUOTE_RESPONSE, true);
  answer.setUint32(12, size, true);
  answer.setUint32(16, valid ? 0 : ERROR_INVALID, true);
  answer.setUint32(24, quote.length, true);
  out.set(quote, 28);
  return out;
}

/** Serves one connection: requests with a big-endian length in front, one after the other. */
export function serveConnection(socket: net.Socket, pki: MockPki): void {
  let received: Buffer = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 4) {
      const length = received.readUInt32BE(0);
      if (length > REQUEST_SIZE) {
        socket.destroy();
        return;
      }
      if (received.length < 4 + length) return;
      socket.write(answerRequest(Uint8Array.from(received.subarray(4, 4 + length)), pki));
      received = received.subarray(4 + length);
    }
  });
}

/** Listens on a vsock port of this machine until the process ends. */
export async function runQuoteService({ seed, port }: { seed: Uint8Array; port: number }): Promise<void> {
  const pki = mockPki(seed);
  const fd = (await native()).vsockListen(VMADDR_CID_ANY, port);
  const server = net.createServer((socket) => serveConnection(socket, pki));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd }, resolve);
  });
  ui.info(`quote service answers at vsock port ${port}`);
}

/**
 * Quotes from the host's quote generation service over vsock (Intel DCAP, quote generation service message format):
 * the guest takes a TD report and the service turns it into a quote.
 */

import * as net from 'node:net';
import type { Duplex } from 'node:stream';
import { cut } from '../codec/bytes.ts';
import { DstackError } from '../errors.ts';
import { ifExists, readLimited } from '../sys/files.ts';
import { native, VMADDR_CID_HOST } from '../sys/native.ts';
import { TD_REPORT_SIZE, takeReport } from './report.ts';
import { pathOf, type TdxMachine } from './tdx-machine.ts';

const CONFIG = '/etc/tdx-attest.conf';
const CONNECT_TIMEOUT_MS = 10_000;
const ANSWER_TIMEOUT_MS = 60_000;
const MAJOR_VERSION = 1;
const HEADER = 16;
const REQUEST_SIZE = HEADER + 8 + TD_REPORT_SIZE;
const MAX_RESPONSE = 16_384;
const MIN_QUOTE = 1020;
const TYPE_GET_QUOTE = 0;
const TYPE_GET_QUOTE_RESPONSE = 1;

/** The vsock port in /etc/tdx-attest.conf: the first line `port = N` with N > 0; undefined when there is none. */
export async function qgsPort(machine: TdxMachine): Promise<number | undefined> {
  const bytes = await ifExists(() => readLimited(pathOf(machine, CONFIG), 65_536));
  if (bytes === undefined) return undefined;
  for (const line of Buffer.from(bytes).toString('latin1').split('\n')) {
    const found = /^\s*port\s*=\s*(\d{1,10})\s*$/.exec(line);
    if (found?.[1] === undefined) continue;
    const port = Number(found[1]);
    return port > 0 && port <= 0xffffffff ? port : undefined;
  }
  return undefined;
}

/** The way to the service does not exist: nothing was asked. Another method may be tried. */
export class ServiceUnreachable extends DstackError {}

/**
 * Takes a quote for 64 bytes of report data through port `port` of the host.
 * @throws ServiceUnreachable (QUOTE_UNAVAILABLE) without a TD report or a connection; QUOTE_* for what the service answers
 */
export async function vsockQuote(
  reportData: Uint8Array,
  port: number,
  machine: TdxMachine,
  { connectTimeoutMs = CONNECT_TIMEOUT_MS }: { connectTimeoutMs?: number } = {},
): Promise<Uint8Array> {
  const where = `the quote service at vsock ${VMADDR_CID_HOST}:${port}`;
  const unreachable = (why: string, cause: unknown) =>
    new ServiceUnreachable('QUOTE_UNAVAILABLE', `cannot ask ${where}: ${why}`, { cause });
  const report = await takeReport(reportData, machine).catch((thrown: unknown) => {
    throw unreachable('no TD report', thrown);
  });
  const fd = await native()
    .then((calls) => calls.vsockConnect(VMADDR_CID_HOST, port, connectTimeoutMs))
    .catch((thrown: unknown) => {
      throw unreachable('no connection', thrown);
    });
  // adopting a connected descriptor is what Bun's Socket.connect({fd}) does; Node's types do not know it
  const socket = new net.Socket();
  (socket as unknown as { connect(options: { fd: number }): void }).connect({ fd });
  try {
    return await exchange(socket, report.raw);
  } catch (thrown) {
    throw thrown instanceof DstackError
      ? new DstackError(thrown.code, `no quote from ${where}`, { cause: thrown })
      : thrown;
  }
}

/** GET_QUOTE_REQ for a TD report of 1024 bytes, with its big-endian length prefix; the message itself is little-endian. */
export function encodeRequest(report: Uint8Array): Uint8Array {
  const out = new Uint8Array(4 + REQUEST_SIZE);
  const view = new DataView(out.buffer);
  view.setUint32(0, REQUEST_SIZE, false);
  view.setUint16(4, MAJOR_VERSION, true);
  view.setUint16(6, 0, true); // minor version
  view.setUint32(8, TYPE_GET_QUOTE, true);
  view.setUint32(12, REQUEST_SIZE, true);
  view.setUint32(16, 0, true); // error code
  view.setUint32(20, TD_REPORT_SIZE, true);
  view.setUint32(24, 0, true); // no list of accepted quoting enclaves
  out.set(report, 28);
  return out;
}

/** The quote in a GET_QUOTE_RESP without its length prefix. @throws QUOTE_UNAVAILABLE, QUOTE_EMPTY, QUOTE_INVALID */
export function decodeResponse(message: Uint8Array): Uint8Array {
  const refuse = (why: string, code: 'QUOTE_UNAVAILABLE' | 'QUOTE_INVALID' = 'QUOTE_INVALID') =>
    new DstackError(code, `the answer of the quote service ${why}`);
  if (message.length < HEADER + 8) throw refuse(`has ${message.length} bytes, less than its header`);
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const major = view.getUint16(0, true);
  if (major !== MAJOR_VERSION) throw refuse(`has major version ${major}, not ${MAJOR_VERSION}`);
  const size = view.getUint32(8, true);
  if (size !== message.length) throw refuse(`says ${size} bytes and has ${message.length}`);
  const type = view.getUint32(4, true);
  const error = view.getUint32(12, true);
  if (type !== TYPE_GET_QUOTE_RESPONSE) throw refuse(`has message type ${type}`);
  if (error !== 0) throw refuse(`carries error 0x${error.toString(16).padStart(8, '0')}`, 'QUOTE_UNAVAILABLE');
  const idSize = view.getUint32(16, true);
  const quoteSize = view.getUint32(20, true);
  const start = HEADER + 8 + idSize;
  if (start + quoteSize > message.length) throw refuse(`promises ${quoteSize} bytes of quote that it does not have`);
  if (quoteSize === 0) throw new DstackError('QUOTE_EMPTY', 'the quote service answered without a quote');
  if (quoteSize < MIN_QUOTE) throw refuse(`has a quote of only ${quoteSize} bytes`);
  return cut(message, start, start + quoteSize);
}

/** Sends one request over a connected stream and waits for one response; the stream is destroyed afterwards. */
export function exchange(socket: Duplex, report: Uint8Array, timeoutMs = ANSWER_TIMEOUT_MS): Promise<Uint8Array> {
  return new Promise<Uint8Array>((resolve, reject) => {
    let received = Buffer.alloc(0);
    const timer = setTimeout(
      () => finish(new DstackError('QUOTE_TIMEOUT', `the quote service did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const finish = (outcome: Uint8Array | Error): void => {
      clearTimeout(timer);
      socket.destroy();
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const lost = (cause?: unknown) =>
      finish(new DstackError('QUOTE_UNAVAILABLE', 'the connection to the quote service was lost', { cause }));
    socket.on('error', lost);
    socket.on('close', () => lost());
    socket.on('data', (chunk: Uint8Array) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4) return;
      const length = received.readUInt32BE(0);
      if (length > MAX_RESPONSE) {
        finish(new DstackError('QUOTE_INVALID', `the answer of the quote service has ${length} bytes`));
      } else if (received.length >= 4 + length) {
        try {
          finish(decodeResponse(received.subarray(4, 4 + length)));
        } catch (thrown) {
          finish(thrown as Error);
        }
      }
    });
    socket.write(encodeRequest(report));
  });
}

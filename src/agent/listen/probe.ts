/** Asking one of our own listeners over a new connection, as any client would: the only proof that it serves. */
import { existsSync } from 'node:fs';
import * as net from 'node:net';
import { connectVsock } from '../../net/net.ts';
import { VMADDR_CID_LOCAL } from '../../sys/native.ts';
import type { Address } from './address.ts';

const TIMEOUT_MS = 5000;
/** there while the kernel has the module vsock_loopback loaded */
const VSOCK_LOOPBACK = '/sys/module/vsock_loopback';

/**
 * Resolves when the listener answers a request with a status below 500, or that it is busy.
 * @param path asked with GET
 * @throws when there is no answer in time
 */
export async function probe(address: Address, path: string, timeoutMs = TIMEOUT_MS): Promise<void> {
  const socket = await open(address, timeoutMs);
  if (socket === undefined) return;
  await new Promise<void>((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => end(new Error('no answer in time')), timeoutMs);
    const end = (failure?: Error) => {
      clearTimeout(timer);
      socket.destroy();
      if (failure) reject(failure);
      else resolve();
    };
    socket.on('error', end);
    socket.on('close', () => end(new Error('closed without an answer')));
    socket.on('data', (data) => {
      text += data.toString('latin1');
      // 503 says that it is busy with others, which a fresh socket would not change
      if (/^HTTP\/1\.1 (?:[2-4]\d\d|503) /.test(text)) end();
      else if (text.length > 12) end(new Error(`answered ${JSON.stringify(text.slice(0, 12))}`));
    });
    socket.write(`GET ${path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n`);
  });
}

/** A connection to our own address; undefined where this machine has no way back to itself. */
async function open(address: Address, timeoutMs: number): Promise<net.Socket | undefined> {
  if (address.kind === 'unix') return net.connect({ path: address.path });
  if (address.kind === 'tcp') return net.connect({ host: loopback(address.host), port: address.port });
  // vsock leads to the host; only the loopback transport leads back. Without it CID 1 would be asked of the host, in vain
  if (!existsSync(VSOCK_LOOPBACK)) return undefined;
  return connectVsock(VMADDR_CID_LOCAL, address.port, timeoutMs);
}

const loopback = (host: string): string => (host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host);

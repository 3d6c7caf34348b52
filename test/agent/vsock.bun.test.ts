/** The listener for the host: vsock, over the loopback of this machine where it has one. */
import { afterAll, describe, expect, it } from 'vitest';
import { Listener } from '../../src/agent/listen/listener.ts';
import { rpcHandler } from '../../src/agent/rpc/rpc.ts';
import { HttpServer } from '../../src/http/http.ts';
import { callJson } from '../../src/net/prpc-client.ts';
import { VMADDR_CID_ANY, VMADDR_CID_LOCAL } from '../../src/sys/native.ts';
import { hasVsockLoopback } from './vsock-loopback.ts';

const PORT = 40_000 + (process.pid % 20_000);

const available = await hasVsockLoopback(PORT);

describe.runIf(available)('the vsock listener', () => {
  const told: string[] = [];
  const handler = rpcHandler(
    'GuestApi',
    {
      Shutdown: async () => {
        told.push('shutdown');
        return {};
      },
    },
    { base: '/api' },
  );
  const http = new HttpServer({ handler });
  const listener = new Listener({
    name: 'guest-api',
    address: { kind: 'vsock', cid: VMADDR_CID_ANY, port: PORT },
    http,
  });
  afterAll(() => Promise.all([listener.stop(), http.close()]));

  it('answers the host', async () => {
    expect(await listener.start()).toBe(true);
    expect(await callJson(`vsock://${VMADDR_CID_LOCAL}:${PORT}/api`, 'Shutdown', {})).toBeNull();
    expect(told).toEqual(['shutdown']);
    await expect(callJson(`vsock://${VMADDR_CID_LOCAL}:${PORT}/api`, 'GetKey', {})).rejects.toThrow(
      'failed with status 400',
    );
  });

  it('listens again after it stopped', async () => {
    await listener.stop();
    const next = new Listener({ name: 'guest-api', address: { kind: 'vsock', cid: VMADDR_CID_ANY, port: PORT }, http });
    expect(await next.start()).toBe(true);
    await next.stop();
  });
});

/** A listener that is stopped while it starts: nothing of it may go on listening. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Address } from '../../../src/agent/listen/address.ts';
import { Listener } from '../../../src/agent/listen/listener.ts';
import { HttpServer } from '../../../src/http/http.ts';
import { connect } from '../raw-client.ts';

describe('a listener that is stopped while it starts', () => {
  let dir = '';
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'dstack-listener-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const http = () => new HttpServer({ handler: async () => ({ status: 200, headers: {}, body: '' }) });
  const listener = (address: Address) => new Listener({ name: 'test', address, http: http(), pauseMs: 5 });
  const unix = (): Address => ({ kind: 'unix', path: join(dir, 'a.sock'), reuse: true });

  it.each([
    ['unix', unix],
    ['tcp', (): Address => ({ kind: 'tcp', host: '127.0.0.1', port: 0 })],
  ] as const)('does not listen afterwards (%s)', async (_, address) => {
    const one = listener(address());
    const started = one.start();
    await one.stop();
    expect(one.status().state).toBe('stopped');
    expect(readdirSync(dir)).toEqual([]); // when stop() has answered, not only some time later
    await expect(started).resolves.toBe(false);
    expect(one.status().state).toBe('stopped');
    expect(one.address).toBeUndefined();
  });

  it('does not listen afterwards when the start was another try', async () => {
    const first = listener({ kind: 'tcp', host: '127.0.0.1', port: 0 });
    await first.start();
    const { port } = first.address as { port: number };
    const second = listener({ kind: 'tcp', host: '127.0.0.1', port });
    await second.start();
    expect(second.status().state).toBe('failed');
    await first.stop();
    const again = second.start();
    await second.stop();
    await again;
    await expect(connect(port)).rejects.toThrow('ECONNREFUSED');
  });

  it('is not started any more once it was stopped', async () => {
    const one = listener(unix());
    await one.stop();
    await expect(one.start()).resolves.toBe(false);
    expect(existsSync(join(dir, 'a.sock'))).toBe(false);
  });
});

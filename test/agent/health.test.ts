/** The agent asks its own listeners: who does not answer is opened again, and only what the app needs counts. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { checkListeners, summary, watch } from '../../src/agent/listen/health.ts';
import { Listener } from '../../src/agent/listen/listener.ts';
import { probe } from '../../src/agent/listen/probe.ts';
import { type HttpHandler, HttpServer } from '../../src/http/http.ts';
import { type Native, setNative } from '../../src/sys/native.ts';
import { ask } from './raw-client.ts';

const answer: HttpHandler = async () => ({ status: 404, headers: {}, body: 'x' });

describe('the view of the agent of itself', () => {
  let dir = '';
  const open: { listener: Listener; http: HttpServer }[] = [];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'dstack-health-'));
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map(({ listener, http }) => Promise.all([listener.stop(), http.close(0)])));
    rmSync(dir, { recursive: true, force: true });
  });
  const make = async (name: string, handler: HttpHandler, required = false): Promise<Listener> => {
    const http = new HttpServer({ handler });
    const address = { kind: 'unix', path: join(dir, `${name}.sock`), reuse: true } as const;
    const listener = new Listener({ name, address, http, required, probeMs: 100, pauseMs: 20 });
    open.push({ listener, http });
    await listener.start();
    return listener;
  };

  it('is content when all answer', async () => {
    const listeners = [await make('a', answer, true), await make('b', answer)];
    await checkListeners(listeners);
    expect(summary(listeners)).toBe('serving 2 of 2 listeners');
  });
  it('opens one again that does not answer, and does not hold it against the others', async () => {
    let hang = true;
    const stuck = await make('stuck', (request) => (hang ? new Promise(() => {}) : answer(request)));
    const listeners = [await make('app', answer, true), stuck];
    await checkListeners(listeners);
    expect(stuck.status()).toMatchObject({ state: 'failed', error: 'no answer in time' });
    expect(summary(listeners)).toBe('serving 1 of 2 listeners, not: stuck');
    hang = false;
    await expect.poll(() => stuck.status().state).toBe('listening');
    expect(stuck.status().restarts).toBe(1);
    await checkListeners(listeners);
    expect((await ask(join(dir, 'stuck.sock'), 'GET', '/')).status).toBe(404);
  });
  it('fails when one does not answer that the app needs', async () => {
    const listeners = [await make('app', () => new Promise(() => {}), true), await make('b', answer)];
    await expect(checkListeners(listeners)).rejects.toMatchObject({ code: 'LISTENER_FAILED', field: 'app' });
  });
  it('does not take a failure for an answer', async () => {
    const broken = await make('broken', () => Promise.reject(new Error('boom')));
    await expect(probe(broken.address!, '/', 500)).rejects.toThrow('HTTP/1.1 500');
    await expect(probe({ kind: 'unix', path: join(dir, 'none'), reuse: false }, '/', 500)).rejects.toThrow();
  });
  it('gets an answer although every connection is taken', async () => {
    const http = new HttpServer({ handler: answer, limits: { connections: 3 } });
    const address = { kind: 'unix', path: join(dir, 'full.sock'), reuse: true } as const;
    const listener = new Listener({ name: 'full', address, http, probeMs: 500 });
    open.push({ listener, http });
    await listener.start();
    const { connect } = await import('./raw-client.ts');
    const held = await Promise.all([1, 2, 3, 4, 5].map(() => connect(address.path)));
    expect(await listener.check()).toBeUndefined();
    expect(http.counts.shed).toBeGreaterThan(0);
    for (const socket of held) socket.destroy();
  });
  describe('as the service manager hears it', () => {
    let told: string[] = [];
    let stop = () => {};
    beforeEach(() => {
      told = [];
      vi.stubEnv('NOTIFY_SOCKET', '/run/notify');
      vi.stubEnv('WATCHDOG_USEC', '2000000'); // a round every second
      const sendDatagram = (_: string, data: Uint8Array) => void told.push(new TextDecoder().decode(data));
      setNative({ sendDatagram } as Partial<Native> as Native);
    });
    afterEach(() => {
      stop();
      setNative(undefined);
      vi.unstubAllEnvs();
    });
    const alive = () => told.filter((text) => text === 'WATCHDOG=1').length;

    it('is READY and alive while every listener answers, and tells the phase it is in', async () => {
      stop = await watch([await make('a', answer, true), await make('b', answer)], true);
      expect(told[0]).toBe('READY=1\nSTATUS=serving 2 of 2 listeners');
      await expect.poll(alive, { timeout: 3000 }).toBeGreaterThanOrEqual(2);
    });
    it('is not READY before what the app needs answers', async () => {
      let hang = true;
      const late = await make('late', (request) => (hang ? new Promise(() => {}) : answer(request)), true);
      stop = await watch([late, await make('b', answer)], true);
      expect(told).toEqual([]);
      hang = false;
      await expect.poll(() => told[0], { timeout: 5000 }).toBe('READY=1\nSTATUS=serving 2 of 2 listeners');
    });
    it('gives no sign of life while a listener hangs that the app needs; another one costs nothing', async () => {
      const hanging = { app: false, other: false };
      const when =
        (name: 'app' | 'other'): HttpHandler =>
        (request) =>
          hanging[name] ? new Promise(() => {}) : answer(request);
      const app = await make('app', when('app'), true);
      stop = await watch([app, await make('other', when('other'))], true);
      await expect.poll(alive, { timeout: 3000 }).toBeGreaterThan(0);
      hanging.other = true;
      await expect.poll(() => told.at(-2), { timeout: 5000 }).toBe('STATUS=serving 1 of 2 listeners, not: other');
      const before = alive();
      await expect.poll(alive, { timeout: 5000 }).toBeGreaterThan(before);
      hanging.app = true;
      await expect.poll(() => app.status().state, { timeout: 5000 }).not.toBe('listening');
      const silent = alive();
      await new Promise((resolve) => setTimeout(resolve, 2500));
      expect(alive()).toBe(silent);
    });
  });
});

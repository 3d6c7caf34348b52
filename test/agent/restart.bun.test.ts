/**
 * The sockets that the agent makes itself survive it: the service manager keeps them, so a container that has mounted the
 * file goes on with the next agent, and nobody who waits in a queue is turned away.
 */
import { existsSync, linkSync, mkdtempSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Guest, makeGuest } from './canned.ts';
import { ask, askJson, connect, parseAnswer, untilClose } from './raw-client.ts';
import { ServiceManager, type Started, stop } from './service-manager.ts';

const bun = 'Bun' in globalThis;
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0).reverse()) undo();
});

// this guest has a unix socket in the place of vsock
const KEPT = ['kept/guest-api', 'kept/internal', 'kept/internal-v0', 'kept/scoped/web'];
const CLIENTS = 16;
const REQUEST = 'POST /GetKey?json HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 12\r\n\r\n{"path":"a"}';

describe.runIf(bun)('an agent that is started again', () => {
  const prepare = async (limit = 64) => {
    const guest = await makeGuest({
      compose: { agent_sockets: [{ name: 'web', allow: ['GetKey'], key_prefix: 'web/' }] },
    });
    const dir = mkdtempSync(join(tmpdir(), 'dstack-restart-'));
    const manager = new ServiceManager(join(dir, 'notify'), (fd) => readlinkSync(`/proc/self/fd/${fd}`), limit);
    cleanup.push(
      guest.remove,
      () => rmSync(dir, { recursive: true, force: true }),
      () => manager.close(),
    );
    const web = join(guest.dir, 'scoped/web.sock');
    return { guest, manager, web };
  };
  const run = async (manager: ServiceManager, guest: Guest): Promise<Started> => {
    const started = manager.start(guest);
    cleanup.push(() => started.child.kill('SIGKILL'));
    await expect.poll(() => manager.read().some((text) => text.startsWith('READY=1')), { timeout: 15_000 }).toBe(true);
    return started;
  };
  const names = (manager: ServiceManager) => manager.store.map(({ name }) => name).toSorted();
  const inode = (path: string) => statSync(path).ino;

  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'serves the same socket files after %s, also those who came meanwhile',
    async (signal) => {
      const { guest, manager, web } = await prepare();
      const first = await run(manager, guest);
      expect(names(manager)).toEqual(KEPT);
      const mounted = join(guest.dir, 'mounted.sock'); // the same inode under another name, as a bind mount shows it
      linkSync(web, mounted);
      const before = [inode(web), inode(guest.dstackSock)];
      const key = JSON.parse((await askJson(mounted, '/GetKey', { path: 'a' })).body).key;
      await stop(first.child, signal);
      const waiting = await Promise.all(Array.from({ length: 200 }, () => connect(mounted)));
      const answers = waiting.map((socket) => {
        socket.write(REQUEST);
        return untilClose(socket);
      });
      const second = await run(manager, guest);
      for (const raw of await Promise.all(answers)) expect(JSON.parse(parseAnswer(raw).body).key).toBe(key);
      expect([inode(web), inode(guest.dstackSock)]).toEqual(before);
      const { listeners } = JSON.parse((await ask(guest.port, 'GET', '/readyz')).body);
      const inherited = listeners
        .filter((one: { inherited: boolean }) => one.inherited)
        .map(({ name }: { name: string }) => name);
      expect(inherited.toSorted()).toEqual(KEPT.map((name) => name.slice('kept/'.length)));
      expect(names(manager)).toEqual(KEPT);
      await stop(second.child);
    },
    60_000,
  );

  // what a killed process has accepted dies with it, and only that: at most one request of each client
  it.each([
    ['SIGKILL', 3 * CLIENTS],
    ['SIGTERM', 0],
  ] as const)(
    'loses nobody who waits when it gets %s under load, again and again',
    async (signal, most) => {
      const { guest, manager, web } = await prepare();
      let current = await run(manager, guest);
      let [answered, lost] = [0, 0];
      let on = true;
      const client = async () => {
        while (on) {
          const socket = await connect(web);
          socket.on('error', () => {});
          const answer = untilClose(socket);
          socket.write(REQUEST);
          if ((await answer).includes('200 OK')) answered++;
          else lost++;
        }
      };
      const clients = Array.from({ length: CLIENTS }, client);
      for (let i = 0; i < 3; i++) {
        const enough = answered + 100;
        await expect.poll(() => answered, { timeout: 15_000 }).toBeGreaterThan(enough);
        await stop(current.child, signal);
        current = await run(manager, guest);
      }
      on = false;
      await Promise.all(clients); // a refused connection would have thrown
      expect(lost).toBeLessThanOrEqual(most);
      expect(answered).toBeGreaterThan(300);
      await stop(current.child);
    },
    90_000,
  );

  it('makes a socket again whose file is gone, and has that one kept', async () => {
    const { guest, manager, web } = await prepare();
    await stop((await run(manager, guest)).child);
    rmSync(web);
    const { child, log } = await run(manager, guest);
    expect((await askJson(web, '/GetKey', { path: 'a' })).status).toBe(200);
    expect(log()).toContain('scoped/web: the socket of an earlier agent');
    const fresh = inode(web);
    await stop(child);
    const third = await run(manager, guest);
    expect((await askJson(web, '/GetKey', { path: 'a' })).status).toBe(200);
    expect(inode(web)).toBe(fresh);
    expect(names(manager)).toEqual(KEPT);
    await stop(third.child);
  }, 60_000);

  it('gives up what no listener of its has use for', async () => {
    const { guest, manager, web } = await prepare();
    await stop((await run(manager, guest)).child);
    const compose = JSON.parse(guest.composeText);
    writeFileSync(join(guest.dir, 'app-compose.json'), JSON.stringify({ ...compose, agent_sockets: [] }));
    const { child } = await run(manager, guest);
    expect(names(manager)).toEqual(KEPT.slice(0, -1));
    await expect(connect(web)).rejects.toThrow('ECONNREFUSED');
    await stop(child);
  }, 60_000);

  it('removes its files when nobody keeps them', async () => {
    const { guest, manager, web } = await prepare(0);
    const { child } = await run(manager, guest);
    expect(manager.store).toEqual([]);
    expect(existsSync(web)).toBe(true);
    await stop(child);
    expect(existsSync(web)).toBe(false);
  }, 60_000);
});

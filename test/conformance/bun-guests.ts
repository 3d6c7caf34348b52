/** Agents whose app sockets were inherited, or are vsock ports. Bun only: such descriptors travel by libc. */
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { connectVsock } from '../../src/net/net.ts';
import { VMADDR_CID_ANY, VMADDR_CID_LOCAL } from '../../src/sys/native.ts';
import { connect } from '../agent/raw-client.ts';
import { boundSocket, ServiceManager, type Started, stop } from '../agent/service-manager.ts';
import { factsOf, guestWith, inThisProcess, stopOf } from './guests.ts';
import type { Served } from './listener-suite.ts';

const inode = (fd: number) => readlinkSync(`/proc/self/fd/${fd}`);
const SOON = { timeout: 30_000, interval: 100 };

async function ready(manager: ServiceManager, { log }: Started): Promise<void> {
  await vi
    .waitUntil(() => manager.read().some((text) => text.startsWith('READY=1')), SOON)
    .catch((thrown) => {
      throw new Error(`the agent does not say READY:\n${log()}`, { cause: thrown });
    });
}

/** @param how by a socket unit; or made by an agent before this one, and given back by the service manager */
export async function inheritedServed(how: 'activated' | 'kept'): Promise<Served> {
  const guest = await guestWith(undefined);
  const dir = mkdtempSync(join(tmpdir(), 'dstack-inherited-'));
  const manager = new ServiceManager(join(dir, 'notify'), inode);
  const paths = { dstack: join(dir, 'dstack.sock'), tappd: join(dir, 'tappd.sock') };
  const bound = how === 'kept' ? [] : [paths.dstack, paths.tappd].map((path) => boundSocket(path, 'listen'));
  let started = manager.start(
    guest,
    bound.map(({ fd }) => fd),
  );
  await ready(manager, started);
  if (how === 'kept') {
    await stop(started.child);
    started = manager.start(guest);
    await ready(manager, started);
  }
  const { child, log } = started;
  if (log().split('(inherited)').length < 3) throw new Error(`nothing was inherited:\n${log()}`);
  return {
    dial: (socket) => {
      if (how === 'activated') return connect(paths[socket]);
      return connect(socket === 'dstack' ? guest.dstackSock : guest.tappdSock);
    },
    facts: factsOf(guest),
    async stop() {
      await stop(child);
      manager.close();
      for (const { close } of bound) close();
      guest.remove();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** @param port and the one behind it are free */
export async function vsockServed(port: number): Promise<Served> {
  const any = `vsock:${VMADDR_CID_ANY}`;
  const guest = await guestWith({
    internal: { address: any, port },
    'internal-v0': { address: any, port: port + 1 },
  });
  const agent = await inThisProcess(guest);
  return {
    dial: (socket) => connectVsock(VMADDR_CID_LOCAL, socket === 'dstack' ? port : port + 1, 5000),
    facts: factsOf(guest),
    stop: stopOf(guest, agent),
  };
}

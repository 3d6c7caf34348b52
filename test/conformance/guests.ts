/** Agents of the canned guest whose app sockets are listeners of one kind. */
import { readFileSync, writeFileSync } from 'node:fs';
import type * as net from 'node:net';
import { join } from 'node:path';
import { type Agent, startAgent } from '../../src/agent/serve.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { VERSION } from '../../src/version.ts';
import { type Guest, makeGuest } from '../agent/canned.ts';
import { connect } from '../agent/raw-client.ts';
import type { Served } from './listener-suite.ts';
import type { Facts } from './meanings.ts';

export const factsOf = (guest: Guest): Facts => ({
  keys: readFileSync(join(guest.dir, 'appkeys.json')),
  composeText: guest.composeText,
  appId: guest.appId,
  instanceId: '07'.repeat(20),
  version: VERSION,
  vmConfig: JSON.parse(readFileSync(join(guest.dir, 'sys-config.json'), 'utf8')).vm_config,
});

/** A guest whose configuration has other addresses for the two sockets of the app. */
export async function guestWith(
  listeners: Readonly<Record<'internal' | 'internal-v0', object>> | undefined,
): Promise<Guest> {
  const guest = await makeGuest();
  if (listeners !== undefined) {
    const config = JSON.parse(readFileSync(guest.configFile, 'utf8'));
    writeFileSync(guest.configFile, JSON.stringify({ ...config, ...listeners }));
  }
  return guest;
}

export async function inThisProcess(guest: Guest): Promise<Agent> {
  return startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
}

export const stopOf = (guest: Guest, agent: Agent) => async () => {
  await agent.stop();
  guest.remove();
};

export async function unixServed(): Promise<Served> {
  const guest = await guestWith(undefined);
  const agent = await inThisProcess(guest);
  return {
    dial: (socket) => connect(socket === 'dstack' ? guest.dstackSock : guest.tappdSock),
    facts: factsOf(guest),
    stop: stopOf(guest, agent),
  };
}

export async function tcpServed(): Promise<Served> {
  const address = { address: '127.0.0.1', port: 0 }; // the kernel chooses
  const guest = await guestWith({ internal: address, 'internal-v0': address });
  const agent = await inThisProcess(guest);
  const port = (name: string): number => {
    const bound = agent.listeners.find((listener) => listener.name === name)?.address;
    if (bound?.kind !== 'tcp') throw new Error(`${name} does not listen on TCP`);
    return bound.port;
  };
  return {
    dial: (socket): Promise<net.Socket> => connect(port(socket === 'dstack' ? 'internal' : 'internal-v0')),
    facts: factsOf(guest),
    stop: stopOf(guest, agent),
  };
}

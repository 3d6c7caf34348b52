/**
 * The official clients' requests over listening sockets that a service manager hands to a process of the agent, and over
 * vsock where this machine has a way back to itself (test/vm/recorded.ts does the same inside a guest, which has one).
 */
import { describe } from 'vitest';
import { native, VMADDR_CID_ANY, VMADDR_CID_LOCAL } from '../../src/sys/native.ts';
import { inheritedServed, vsockServed } from './bun-guests.ts';
import { listenerSuite } from './listener-suite.ts';

const PORT = 45_000 + (process.pid % 10_000);

async function loopback(): Promise<boolean> {
  const { vsockListen, vsockConnect, close } = await native();
  try {
    const listening = vsockListen(VMADDR_CID_ANY, PORT);
    try {
      close(await vsockConnect(VMADDR_CID_LOCAL, PORT, 500));
      return true;
    } finally {
      close(listening);
    }
  } catch {
    return false; // the kernel has no vsock, or no loopback transport for it
  }
}

const bun = 'Bun' in globalThis;
const vsock = bun && (await loopback());

describe.runIf(bun)('sockets that need Bun', () => {
  listenerSuite('sockets of a socket unit', () => inheritedServed('activated'));
  listenerSuite('sockets kept from an earlier agent', () => inheritedServed('kept'));
});
describe.runIf(vsock)('a machine with a vsock loopback', () => listenerSuite('vsock', () => vsockServed(PORT)));

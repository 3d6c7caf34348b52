/**
 * The official clients' requests over listening sockets that a service manager hands to a process of the agent, and over
 * vsock where this machine has a way back to itself (test/vm/recorded.ts does the same inside a guest, which has one).
 */
import { describe } from 'vitest';
import { hasVsockLoopback } from '../agent/vsock-loopback.ts';
import { inheritedServed, vsockServed } from './bun-guests.ts';
import { listenerSuite } from './listener-suite.ts';

const PORT = 45_000 + (process.pid % 10_000);

const bun = 'Bun' in globalThis;
const vsock = await hasVsockLoopback(PORT);

describe.runIf(bun)('sockets that need Bun', () => {
  listenerSuite('sockets of a socket unit', () => inheritedServed('activated'));
  listenerSuite('sockets kept from an earlier agent', () => inheritedServed('kept'));
});
describe.runIf(vsock)('a machine with a vsock loopback', () => listenerSuite('vsock', () => vsockServed(PORT)));

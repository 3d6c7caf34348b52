/**
 * Who is at the other end of a connection, for the log. The kernel vouches for the process behind a unix socket
 * (SO_PEERCRED, unix(7)): it is the one that connected, seen from our PID namespace.
 */
import type { Socket } from 'node:net';
import { native } from '../../sys/native.ts';
import type { Address } from './address.ts';

/** Tells `uid 0 pid 17`, an address with its port, or nothing. Asked when the connection is new: later its descriptor may be another's. */
export type PeerNamer = (socket: Socket) => string | undefined;

/** The descriptor of a socket; the runtime has no public name for it. */
const descriptor = (socket: Socket): number | undefined => (socket as { _handle?: { fd?: number } })._handle?.fd;

export async function peerNamer(kind: Address['kind']): Promise<PeerNamer> {
  if (kind === 'tcp') return ({ remoteAddress, remotePort }) => remoteAddress && `${remoteAddress}:${remotePort}`;
  if (kind === 'vsock') return () => 'vsock';
  const calls = await native().catch(() => undefined); // outside the compiled binary nobody can be asked
  if (calls === undefined) return () => undefined;
  return (socket) => {
    const fd = descriptor(socket);
    if (fd === undefined || fd < 0) return undefined;
    try {
      const { uid, pid } = calls.peerCredentials(fd);
      return `uid ${uid} pid ${pid}`;
    } catch {
      return undefined; // it is gone again
    }
  };
}

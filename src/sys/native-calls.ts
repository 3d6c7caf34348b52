/** The operating system calls that Node has no function for, as an interface. */

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** A failed call: `errno` is the number of errno(3), `code` its name as Node writes it. */
export interface ErrnoError extends Error {
  readonly errno: number;
  readonly code: string;
}

export interface Native {
  /** ioctl(2) with a buffer that the call may read and write in place. Throws ErrnoError. */
  ioctl(fd: number, request: number, argument: Uint8Array): void;
  /** flock(2) exclusive and blocking: returns when the lock is held. The lock ends with the descriptor. Throws ErrnoError. */
  flockExclusive(fd: number): Promise<void>;
  /**
   * One datagram to a unix socket path (`@` = abstract), for sd_notify(3). Throws ErrnoError.
   * @param descriptor a copy of it goes along (SCM_RIGHTS of unix(7))
   */
  sendDatagram(path: string, data: Uint8Array, descriptor?: number): void;
  /** SO_PEERCRED of a connected unix stream socket. */
  peerCredentials(fd: number): PeerCredentials;
  /** A listening AF_VSOCK stream socket, close-on-exec and non-blocking; adopt it with `net.Server.listen({fd})`. */
  vsockListen(cid: number, port: number): number;
  /** listen(2) again on a listening socket: sets how many connections may wait to be accepted (at most net.core.somaxconn). */
  setBacklog(fd: number, connections: number): void;
  /** A connected AF_VSOCK stream socket; adopt it with `new net.Socket().connect({fd})`. */
  vsockConnect(cid: number, port: number, timeoutMs: number): Promise<number>;
  close(fd: number): void;
  /**
   * Lets go of the pages of a mapping (madvise(2), MADV_DONTNEED): what is used again is read again from the file that it
   * maps. Only for pages that are as the file has them.
   */
  releaseMapping(from: bigint, to: bigint): void;
  /** mount(2) with MS_BIND | MS_REC: what is at `source`, and mounted below it, is at `target` too. Throws ErrnoError. */
  bindMount(source: string, target: string): void;
  /** No memory image of this process: prctl(2) PR_SET_DUMPABLE 0, and a soft core limit of 0 that children inherit. */
  refuseCoreDumps(): void;
}

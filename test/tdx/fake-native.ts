/** Native calls under plain Node: flock that really excludes (by inode, until the descriptor is closed). */
import { fstatSync } from 'node:fs';
import type { Native } from '../../src/sys/native.ts';

const inode = (fd: number): string | undefined => {
  try {
    const { dev, ino } = fstatSync(fd);
    return `${dev}:${ino}`;
  } catch {
    return undefined; // EBADF: closed
  }
};

export function fakeNative(overrides: Partial<Native> = {}): Native {
  const holders = new Map<string, number>();
  const unsupported = (): never => {
    throw new Error('not part of this fake');
  };
  return {
    ioctl: unsupported,
    async flockExclusive(fd) {
      const file = inode(fd);
      if (file === undefined) throw Object.assign(new Error('flock: EBADF'), { code: 'EBADF', errno: 9 });
      for (;;) {
        const holder = holders.get(file);
        if (holder === undefined || holder === fd || inode(holder) !== file) break;
        await new Promise((resolve) => setImmediate(resolve));
      }
      holders.set(file, fd);
    },
    sendDatagram: unsupported,
    releaseMapping: unsupported,
    peerCredentials: unsupported,
    setBacklog: unsupported,
    vsockListen: unsupported,
    vsockConnect: unsupported,
    close: unsupported,
    bindMount: unsupported,
    refuseCoreDumps: () => {},
    ...overrides,
  };
}

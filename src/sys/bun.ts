/** The only Bun-specific file: libc through `bun:ffi`. `__errno_location` is read directly after the failing call. */
import { dlopen, type Pointer, ptr, read } from 'bun:ffi';
import { constants } from 'node:os';
import type { ErrnoError, Native } from './native-calls.ts';

const { symbols: libc } = dlopen('libc.so.6', {
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  listen: { args: ['i32', 'i32'], returns: 'i32' },
  connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  ioctl: { args: ['i32', 'u64', 'ptr'], returns: 'i32' },
  flock: { args: ['i32', 'i32'], returns: 'i32' },
  poll: { args: ['ptr', 'u64', 'i32'], returns: 'i32' },
  getsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'ptr'], returns: 'i32' },
  sendto: { args: ['i32', 'ptr', 'u64', 'i32', 'ptr', 'u32'], returns: 'i64' },
  sendmsg: { args: ['i32', 'ptr', 'i32'], returns: 'i64' },
  close: { args: ['i32'], returns: 'i32' },
  prctl: { args: ['i32', 'u64', 'u64', 'u64', 'u64'], returns: 'i32' },
  madvise: { args: ['u64', 'u64', 'i32'], returns: 'i32' },
  mount: { args: ['ptr', 'ptr', 'u64', 'u64', 'u64'], returns: 'i32' },
  getrlimit: { args: ['i32', 'ptr'], returns: 'i32' },
  setrlimit: { args: ['i32', 'ptr'], returns: 'i32' },
  __errno_location: { args: [], returns: 'ptr' },
});

// Linux x86-64 numbers: <asm/socket.h>, <linux/vm_sockets.h>, <sys/file.h>
const AF_UNIX = 1;
const AF_VSOCK = 40;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_PEERCRED = 17;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const LOCK_EX = 2;
const LOCK_NB = 4;
const POLLOUT = 4;
const SOCKADDR_VM_SIZE = 16;
const PR_SET_DUMPABLE = 4;
const RLIMIT_CORE = 4;
const MADV_DONTNEED = 4;
const MS_BIND = 4096n;
const MS_REC = 16384n;

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

function errno(): number {
  return read.i32(libc.__errno_location() as Pointer, 0);
}

function failure(call: string, number: number): ErrnoError {
  const code = NAMES.get(number) ?? `E${number}`;
  return Object.assign(new Error(`${call}: ${code}`), { errno: number, code });
}

function check(result: number | bigint, call: string): number {
  if (result < 0) throw failure(call, errno());
  return Number(result);
}

function sockaddrVm(cid: number, port: number): Buffer {
  const address = Buffer.alloc(SOCKADDR_VM_SIZE);
  address.writeUInt16LE(AF_VSOCK, 0);
  address.writeUInt32LE(port >>> 0, 4);
  address.writeUInt32LE(cid >>> 0, 8);
  return address;
}

function sockaddrUn(path: string): Buffer {
  const abstract = path.startsWith('@');
  const name = Buffer.from(abstract ? path.slice(1) : path);
  const address = Buffer.alloc(2 + 1 + name.length);
  address.writeUInt16LE(AF_UNIX, 0);
  // abstract: a leading NUL; a path: a trailing one
  name.copy(address, abstract ? 3 : 2);
  return address;
}

/** struct msghdr with one piece of data and one descriptor as control message (unix(7), cmsg(3)), all on x86-64. */
function messageWith(descriptor: number, data: Uint8Array, address: Uint8Array): { header: Buffer; parts: Buffer[] } {
  const control = Buffer.alloc(24); // struct cmsghdr and an int, padded to 8
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(descriptor, 16);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(BigInt(ptr(data)), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(BigInt(ptr(address)), 0);
  header.writeUInt32LE(address.length, 8);
  header.writeBigUInt64LE(BigInt(ptr(vector)), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(ptr(control)), 32);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  return { header, parts: [control, vector] };
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

export const bunNative: Native = {
  ioctl(fd, request, argument) {
    check(libc.ioctl(fd, BigInt(request), ptr(argument)), 'ioctl');
  },

  async flockExclusive(fd) {
    // Non-blocking tries with growing pauses: a blocking flock(2) would stop the whole event loop of the agent.
    for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
      if (libc.flock(fd, LOCK_EX | LOCK_NB) === 0) return;
      const number = errno();
      if (number !== constants.errno.EWOULDBLOCK && number !== constants.errno.EINTR) throw failure('flock', number);
      await pause(wait);
    }
  },

  sendDatagram(path, data, descriptor) {
    const fd = check(libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'socket');
    try {
      const address = sockaddrUn(path);
      if (descriptor === undefined) {
        check(libc.sendto(fd, ptr(data), BigInt(data.length), MSG_NOSIGNAL, ptr(address), address.length), 'sendto');
      } else {
        const { header, parts } = messageWith(descriptor, data, address);
        check(libc.sendmsg(fd, ptr(header), MSG_NOSIGNAL), 'sendmsg');
        parts.length = 0; // the header points into them: they live until here
      }
    } finally {
      libc.close(fd);
    }
  },

  peerCredentials(fd) {
    const out = new Int32Array(3);
    const length = new Uint32Array([out.byteLength]);
    check(libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ptr(out), ptr(length)), 'getsockopt');
    return { pid: out[0] ?? 0, uid: out[1] ?? 0, gid: out[2] ?? 0 };
  },

  vsockListen(cid, port) {
    const fd = check(libc.socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket');
    try {
      check(libc.bind(fd, ptr(sockaddrVm(cid, port)), SOCKADDR_VM_SIZE), 'bind');
      check(libc.listen(fd, 128), 'listen');
      return fd;
    } catch (thrown) {
      libc.close(fd);
      throw thrown;
    }
  },

  setBacklog(fd, connections) {
    check(libc.listen(fd, connections), 'listen');
  },

  async vsockConnect(cid, port, timeoutMs) {
    const fd = check(libc.socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket');
    try {
      if (libc.connect(fd, ptr(sockaddrVm(cid, port)), SOCKADDR_VM_SIZE) < 0) {
        const number = errno();
        if (number !== constants.errno.EINPROGRESS) throw failure('connect', number);
        await writable(fd, timeoutMs);
      }
      return fd;
    } catch (thrown) {
      libc.close(fd);
      throw thrown;
    }
  },

  close(fd) {
    libc.close(fd);
  },

  releaseMapping(from, to) {
    check(libc.madvise(from, to - from, MADV_DONTNEED), 'madvise');
  },

  bindMount(source, target) {
    const [from, to] = [Buffer.from(`${source}\0`), Buffer.from(`${target}\0`)];
    check(libc.mount(ptr(from), ptr(to), 0n, MS_BIND | MS_REC, 0n), 'mount');
  },

  refuseCoreDumps() {
    check(libc.prctl(PR_SET_DUMPABLE, 0n, 0n, 0n, 0n), 'prctl');
    const limit = new BigUint64Array(2); // soft, hard
    check(libc.getrlimit(RLIMIT_CORE, ptr(limit)), 'getrlimit');
    limit[0] = 0n;
    check(libc.setrlimit(RLIMIT_CORE, ptr(limit)), 'setrlimit');
  },
};

/** Waits until a connecting socket is decided: poll(2) for writability, then SO_ERROR tells how it went. */
async function writable(fd: number, timeoutMs: number): Promise<void> {
  const entry = Buffer.alloc(8);
  entry.writeInt32LE(fd, 0);
  entry.writeInt16LE(POLLOUT, 4);
  const deadline = Date.now() + timeoutMs;
  for (let wait = 0; libc.poll(ptr(entry), 1n, 0) <= 0; wait = Math.min(wait + 1, 20)) {
    if (Date.now() > deadline) throw failure('connect', constants.errno.ETIMEDOUT);
    await pause(wait);
  }
  const status = new Int32Array(1);
  const length = new Uint32Array([status.byteLength]);
  check(libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, ptr(status), ptr(length)), 'getsockopt');
  if (status[0]) throw failure('connect', status[0]);
}

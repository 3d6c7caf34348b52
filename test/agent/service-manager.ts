/**
 * The part of a service manager that an agent meets: it passes listening sockets, receives notifications, and keeps
 * descriptors from one process to the next. Bun only: descriptors travel by libc.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Guest } from './canned.ts';

const AF_UNIX = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

const bun = 'Bun' in globalThis ? await import('bun:ffi') : undefined;
function ffi(): NonNullable<typeof bun> {
  if (bun === undefined) throw new Error('descriptors travel under Bun only');
  return bun;
}
const libc = () =>
  ffi().dlopen('libc.so.6', {
    socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
    bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
    listen: { args: ['i32', 'i32'], returns: 'i32' },
    recvmsg: { args: ['i32', 'ptr', 'i32'], returns: 'i64' },
    close: { args: ['i32'], returns: 'i32' },
  }).symbols;

export interface BoundSocket {
  readonly fd: number;
  close(): void;
}

/** A bound unix socket by descriptor: a listening stream socket, or a datagram socket to receive notifications. */
export function boundSocket(path: string, kind: 'listen' | 'datagram'): BoundSocket {
  const calls = libc();
  const fd = calls.socket(AF_UNIX, kind === 'listen' ? 1 : 2, 0);
  const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(`${path}\0`)]);
  if (calls.bind(fd, ffi().ptr(address), address.length) !== 0) throw new Error(`bind ${path}`);
  if (kind === 'listen' && calls.listen(fd, 16) !== 0) throw new Error(`listen ${path}`);
  return { fd, close: () => void calls.close(fd) };
}

/** The next datagram of a socket with the descriptor that came along, if there is one. */
export function receive(fd: number): { text: string; descriptor?: number } | undefined {
  const { ptr } = ffi();
  const data = Buffer.alloc(4096);
  const control = Buffer.alloc(64);
  const vector = Buffer.alloc(16);
  vector.writeBigUInt64LE(BigInt(ptr(data)), 0);
  vector.writeBigUInt64LE(BigInt(data.length), 8);
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(BigInt(ptr(vector)), 16);
  header.writeBigUInt64LE(1n, 24);
  header.writeBigUInt64LE(BigInt(ptr(control)), 32);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  const length = Number(libc().recvmsg(fd, ptr(header), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (length < 0) return undefined;
  const text = data.toString('utf8', 0, length);
  const isRights = header.readBigUInt64LE(40) >= 20n && control.readInt32LE(8) === 1 && control.readInt32LE(12) === 1;
  return isRights ? { text, descriptor: control.readInt32LE(16) } : { text };
}

export interface Start {
  readonly guest: Guest;
  /** passed from descriptor 3 on */
  readonly fds?: readonly number[];
  readonly env?: Record<string, string>;
  readonly args?: readonly string[];
  /** LISTEN_PID, default the agent’s own */
  readonly pid?: string;
}

export interface Started {
  readonly child: ChildProcess;
  log(): string;
}

export function start({ guest, fds = [], env = {}, args = [], pid = '$$' }: Start): Started {
  const script = `export LISTEN_PID=${pid} LISTEN_FDS=${fds.length}; exec "$@"`;
  const command = [process.execPath, 'bin/dstack-util.ts', 'serve', '-c', guest.configFile, ...args];
  const child = spawn('bash', ['-c', script, 'bash', ...command], {
    stdio: ['ignore', 'pipe', 'pipe', ...fds],
    env: { PATH: process.env['PATH'] ?? '', HOME: '/root', ...env },
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (text += chunk));
  return { child, log: () => text };
}

/** Ends an agent. @returns its exit status */
export async function stop(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<number | null> {
  const exit = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
  child.kill(signal);
  await exit;
  return child.exitCode;
}

/**
 * The descriptor store of a unit (systemd.service(5), FileDescriptorStoreMax=): what is sent with FDSTORE=1 stays open
 * under its FDNAME and is passed to the next process behind the sockets of the socket unit; FDSTOREREMOVE=1 closes it; the
 * same socket a second time, or one too many, is not taken.
 */
export class ServiceManager {
  readonly socket: string;
  readonly #notify: BoundSocket;
  readonly #limit: number;
  readonly #inode: (fd: number) => string;
  store: { name: string; fd: number }[] = [];

  constructor(socket: string, inode: (fd: number) => string, limit = 64) {
    this.socket = socket;
    this.#notify = boundSocket(socket, 'datagram');
    this.#inode = inode;
    this.#limit = limit;
  }

  /** Reads what was sent. @returns the other notifications */
  read(): string[] {
    const others: string[] = [];
    for (let got = receive(this.#notify.fd); got !== undefined; got = receive(this.#notify.fd)) {
      const fields = new Map(got.text.split('\n').map((line) => line.split('=', 2) as [string, string]));
      const name = fields.get('FDNAME') ?? 'stored';
      if (fields.get('FDSTOREREMOVE') === '1') {
        for (const { fd } of this.store.filter((entry) => entry.name === name)) libc().close(fd);
        this.store = this.store.filter((entry) => entry.name !== name);
      } else if (fields.get('FDSTORE') === '1') this.#take(name, got.descriptor);
      else others.push(got.text);
    }
    return others;
  }

  #take(name: string, fd: number | undefined): void {
    if (fd === undefined) return;
    const known = this.store.some((entry) => this.#inode(entry.fd) === this.#inode(fd));
    if (known || this.store.length >= this.#limit || !/^[\x20-\x39\x3b-\x7e]{1,255}$/.test(name)) libc().close(fd);
    else this.store.push({ name, fd });
  }

  /** Starts the unit, with the sockets of its socket unit. */
  start(guest: Guest, activated: readonly number[] = [], args: readonly string[] = []): Started {
    this.read();
    const names = [...activated.map(() => 'dstack-guest-agent.socket'), ...this.store.map(({ name }) => name)];
    return start({
      guest,
      fds: [...activated, ...this.store.map(({ fd }) => fd)],
      env: { NOTIFY_SOCKET: this.socket, FDSTORE: String(this.#limit), LISTEN_FDNAMES: names.join(':') },
      args,
    });
  }

  close(): void {
    this.read();
    for (const { fd } of this.store) libc().close(fd);
    this.#notify.close();
  }
}

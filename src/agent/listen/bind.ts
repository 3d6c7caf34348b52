/**
 * Opening one listening socket: inherited, unix (with the rules for what already lies at the path), TCP or vsock. Unix
 * sockets that are made here are given to the service manager to keep, if it keeps any, so that the next agent inherits
 * them with their files and with everybody who waits in their queues.
 */
import * as fs from 'node:fs/promises';
import * as net from 'node:net';
import { dirname } from 'node:path';
import { DstackError, errorChain } from '../../errors.ts';
import { native } from '../../sys/native.ts';
import { keepDescriptor } from '../../sys/notify.ts';
import * as ui from '../../ui.ts';
import { type InheritedSocket, keptName } from './activation.ts';
import { type Address, showAddress } from './address.ts';

const BACKLOG = 4096;

/** An open listener. */
export interface Bound {
  readonly server: net.Server;
  /** what it listens on; for TCP port 0 the port that the kernel chose */
  readonly address: Address;
  /** it came from the service manager */
  readonly inherited: boolean;
  /** the service manager holds a copy, and the file stays when this process ends */
  readonly kept: boolean;
  close(): Promise<void>;
}

export interface BindOrder {
  /** of the listener */
  readonly name: string;
  readonly address: Address;
  /** from a socket unit: in the place of the address */
  readonly activated?: InheritedSocket | undefined;
  /** the socket of this address, from an earlier agent */
  readonly kept?: InheritedSocket | undefined;
  readonly onConnection: (socket: net.Socket) => void;
  /** called when a listener that worked stops working */
  readonly onFailure: (failure: Error) => void;
}

/** Starts listening. @throws LISTENER_FAILED */
export async function bind(order: BindOrder): Promise<Bound> {
  const { name, address, activated, onConnection, onFailure } = order;
  const inherited = activated ?? order.kept;
  let kept = activated === undefined && order.kept !== undefined;
  // half-open: a client that has sent its request and closes its sending side still gets the answer
  const server = net.createServer({ allowHalfOpen: true }, onConnection);
  try {
    if (inherited !== undefined) await listen(server, { fd: inherited.fd });
    else if (address.kind === 'unix') kept = await listenUnix(server, address, name);
    else if (address.kind === 'tcp') await listen(server, { host: address.host, port: address.port });
    else await listen(server, { fd: (await native()).vsockListen(address.cid, address.port) });
  } catch (thrown) {
    server.close();
    if (thrown instanceof DstackError) throw thrown;
    throw new DstackError('LISTENER_FAILED', `cannot listen on ${showAddress(address)}`, { cause: thrown });
  }
  await deepenBacklog(server);
  server.on('error', onFailure);
  const actual: Address = activated
    ? { kind: 'unix', path: activated.path, reuse: false }
    : address.kind === 'tcp'
      ? { ...address, port: (server.address() as net.AddressInfo).port }
      : address;
  const own = address.kind === 'unix' && inherited === undefined ? await inodeOf(address.path) : undefined;
  return {
    server,
    address: actual,
    inherited: inherited !== undefined,
    kept,
    close: async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      // only our own file: a newer agent may already listen at the same path
      if (!kept && address.kind === 'unix' && own !== undefined && (await inodeOf(address.path)) === own)
        await fs.rm(address.path, { force: true });
    },
  };
}

/**
 * The runtime lets 512 connections wait to be accepted, whatever is asked for; beyond that a unix socket refuses at once,
 * and a burst of one client would shut out the others.
 */
async function deepenBacklog(server: net.Server): Promise<void> {
  const fd = descriptor(server);
  const calls = await native().catch(() => undefined); // outside the compiled binary it stays as it is
  if (fd === undefined || calls === undefined) return;
  try {
    calls.setBacklog(fd, BACKLOG);
  } catch (thrown) {
    ui.debug(`the backlog stays as it is: ${errorChain(thrown)}`);
  }
}

function listen(server: net.Server, options: net.ListenOptions | { fd: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(options, () => {
      server.removeListener('error', reject);
      resolve();
    });
  });
}

/** The descriptor of a listening server; the runtime has no public name for it. */
function descriptor(server: net.Server): number | undefined {
  const { fd } = (server as { _handle?: { fd?: number } })._handle ?? {};
  return fd === undefined || fd < 0 ? undefined : fd;
}

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await fs.lstat(path)).ino;
  } catch {
    return undefined;
  }
}

type UnixAddress = Extract<Address, { kind: 'unix' }>;

/** What the socket is bound to before the file gets its name: another one for every process. */
const boundName = (path: string, process: number | string): string => `${path}.${process}`;

/** Whether a socket that an earlier agent made is the one of this address, and its file is still there. */
export async function fits(address: Address, { path }: InheritedSocket): Promise<boolean> {
  if (address.kind !== 'unix' || !path.startsWith(boundName(address.path, ''))) return false;
  return (await fs.lstat(address.path).catch(() => undefined))?.isSocket() ?? false;
}

/** @returns whether the service manager keeps it */
async function listenUnix(server: net.Server, address: UnixAddress, name: string): Promise<boolean> {
  await fs.mkdir(dirname(address.path), { recursive: true });
  await checkPath(address.path, address.reuse);
  // The runtime removes the path it bound when the server closes, even if a newer agent has taken it over since: so it
  // binds a name of its own, and the rename replaces an old socket file without a moment in which there is none.
  const temporary = boundName(address.path, process.pid);
  await fs.rm(temporary, { force: true });
  await listen(server, { path: temporary });
  if (address.mode !== undefined) await fs.chmod(temporary, address.mode);
  const kept = await keep(server, name);
  await fs.rename(temporary, address.path);
  return kept;
}

async function keep(server: net.Server, name: string): Promise<boolean> {
  const fd = descriptor(server);
  try {
    return fd !== undefined && (await keepDescriptor(keptName(name), fd));
  } catch (thrown) {
    ui.warn(`${name}: the service manager does not keep the socket: ${errorChain(thrown)}`);
    return false;
  }
}

/** Refuses to replace anything but a stale socket file, or with `reuse` a socket file in use. */
async function checkPath(path: string, reuse: boolean): Promise<void> {
  const stat = await fs.lstat(path).catch(() => undefined);
  if (stat === undefined) return;
  if (!stat.isSocket())
    throw new DstackError('LISTENER_FAILED', `${path} exists and is not a socket`, {
      path,
      hint: 'remove the file, or configure another address',
    });
  if (await answers(path)) {
    if (!reuse)
      throw new DstackError('LISTENER_FAILED', `another process listens on ${path}`, {
        path,
        hint: 'stop it, or set reuse = true',
      });
    ui.warn(`another process listens on ${path}: its socket file is replaced (reuse is set)`);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(path);
    const done = (answer: boolean) => {
      probe.destroy();
      resolve(answer);
    };
    probe.setTimeout(500, () => done(true)); // somebody holds it but is busy
    probe.on('connect', () => done(true));
    probe.on('error', () => done(false));
  });
}

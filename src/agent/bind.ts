/** Opening one listening socket: inherited, unix (with the rules for what already lies at the path), TCP or vsock. */
import * as fs from 'node:fs/promises';
import * as net from 'node:net';
import { dirname } from 'node:path';
import { DstackError, errorChain } from '../errors.ts';
import { native } from '../sys/native.ts';
import * as ui from '../ui.ts';
import type { InheritedSocket } from './activation.ts';
import { type Address, showAddress } from './address.ts';

const BACKLOG = 4096;

/** An open listener. */
export interface Bound {
  readonly server: net.Server;
  /** what it listens on; for TCP port 0 the port that the kernel chose */
  readonly address: Address;
  readonly inherited: boolean;
  close(): Promise<void>;
}

/**
 * Starts listening.
 * @param onFailure called when a listener that worked stops working
 * @throws LISTENER_FAILED
 */
export async function bind(
  address: Address,
  inherited: InheritedSocket | undefined,
  onConnection: (socket: net.Socket) => void,
  onFailure: (failure: Error) => void,
): Promise<Bound> {
  // half-open: a client that has sent its request and closes its sending side still gets the answer
  const server = net.createServer({ allowHalfOpen: true }, onConnection);
  try {
    if (inherited !== undefined) await listen(server, { fd: inherited.fd });
    else if (address.kind === 'unix') await listenUnix(server, address);
    else if (address.kind === 'tcp') await listen(server, { host: address.host, port: address.port });
    else await listen(server, { fd: (await native()).vsockListen(address.cid, address.port) });
  } catch (thrown) {
    server.close();
    if (thrown instanceof DstackError) throw thrown;
    throw new DstackError('LISTENER_FAILED', `cannot listen on ${showAddress(address)}`, { cause: thrown });
  }
  await deepenBacklog(server);
  server.on('error', onFailure);
  const actual: Address = inherited
    ? { kind: 'unix', path: inherited.path, reuse: false }
    : address.kind === 'tcp'
      ? { ...address, port: (server.address() as net.AddressInfo).port }
      : address;
  const own = address.kind === 'unix' && inherited === undefined ? await inodeOf(address.path) : undefined;
  return {
    server,
    address: actual,
    inherited: inherited !== undefined,
    close: async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
      // only our own file: a newer agent may already listen at the same path
      if (address.kind === 'unix' && own !== undefined && (await inodeOf(address.path)) === own)
        await fs.rm(address.path, { force: true });
    },
  };
}

/**
 * The runtime lets 512 connections wait to be accepted, whatever is asked for; beyond that a unix socket refuses at once,
 * and a burst of one client would shut out the others.
 */
async function deepenBacklog(server: net.Server): Promise<void> {
  const { fd } = (server as { _handle?: { fd?: number } })._handle ?? {};
  const calls = await native().catch(() => undefined); // outside the compiled binary it stays as it is
  if (fd === undefined || fd < 0 || calls === undefined) return;
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

async function inodeOf(path: string): Promise<number | undefined> {
  try {
    return (await fs.lstat(path)).ino;
  } catch {
    return undefined;
  }
}

async function listenUnix(server: net.Server, address: Extract<Address, { kind: 'unix' }>): Promise<void> {
  await fs.mkdir(dirname(address.path), { recursive: true });
  await checkPath(address.path, address.reuse);
  // The runtime removes the path it bound when the server closes, even if a newer agent has taken it over since: so it
  // binds a name of its own, and the rename replaces an old socket file without a moment in which there is none.
  const temporary = `${address.path}.${process.pid}`;
  await fs.rm(temporary, { force: true });
  await listen(server, { path: temporary });
  if (address.mode !== undefined) await fs.chmod(temporary, address.mode);
  await fs.rename(temporary, address.path);
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

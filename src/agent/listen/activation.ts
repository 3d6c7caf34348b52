/**
 * Sockets that the service manager passes as descriptors from 3 on (sd_listen_fds(3)): those of a socket unit, and those
 * that an earlier agent of this boot gave it to keep. Containers bind-mount the socket files, so neither kind may be made
 * again when the agent starts again: a container would go on holding a file that leads nowhere.
 */
import { readFile, readlink } from 'node:fs/promises';
import { native } from '../../sys/native.ts';
import { dropDescriptor } from '../../sys/notify.ts';
import * as ui from '../../ui.ts';

const FIRST_FD = 3;
const MOST_FDS = 1024;
/** flag of /proc/net/unix for a socket that accepts connections (SO_ACCEPTCON) */
const ACCEPTS = 0x10000;
/** begins the names of descriptors that an agent gave away; a socket unit names its own after itself */
const KEPT = 'kept/';

export interface InheritedSocket {
  readonly fd: number;
  /** file name that the unix socket was bound to */
  readonly path: string;
}

export interface InheritedSockets {
  /** of a socket unit, in the order of the unit file; undefined at an index that is not a listening unix socket */
  readonly activated: readonly (InheritedSocket | undefined)[];
  /** given to the service manager by an earlier agent: listener -> socket */
  readonly kept: ReadonlyMap<string, InheritedSocket>;
}

export const NOTHING_INHERITED: InheritedSockets = { activated: [], kept: new Map() };

/** Under which name the service manager keeps the socket of a listener. */
export const keptName = (listener: string): string => `${KEPT}${listener}`;

/** The sockets passed to this process. The variables are removed from the environment: they are not meant for children. */
export async function inheritedSockets(): Promise<InheritedSockets> {
  const count = Number(process.env['LISTEN_FDS'] ?? 0);
  const pid = process.env['LISTEN_PID'];
  const names = (process.env['LISTEN_FDNAMES'] ?? '').split(':');
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete process.env[name];
  if (!Number.isInteger(count) || count <= 0 || count > MOST_FDS) return NOTHING_INHERITED;
  if (Number(pid) !== process.pid) {
    ui.debug(`LISTEN_FDS is meant for process ${pid ?? 'unknown'}, not for us (${process.pid}): ignored`);
    return NOTHING_INHERITED;
  }
  const table = await listeningUnixSockets();
  const activated: (InheritedSocket | undefined)[] = [];
  const kept = new Map<string, InheritedSocket>();
  for (let index = 0; index < count; index++) {
    const fd = FIRST_FD + index;
    const name = names[index] ?? '';
    const path = table.get(await inodeOf(fd));
    const socket = path === undefined ? undefined : { fd, path };
    if (!name.startsWith(KEPT)) {
      if (socket === undefined) ui.warn(`inherited descriptor ${fd} is not a listening unix socket: ignored`);
      activated.push(socket);
    } else if (socket === undefined) await giveUp(name.slice(KEPT.length), fd);
    else kept.set(name.slice(KEPT.length), socket);
  }
  return { activated, kept };
}

/** Closes a kept socket that nobody can use, here and in the service manager. */
export async function giveUp(listener: string, fd: number): Promise<void> {
  ui.warn(`${listener}: the socket of an earlier agent (descriptor ${fd}) cannot be used and is closed`);
  (await native()).close(fd);
  await dropDescriptor(keptName(listener));
}

async function inodeOf(fd: number): Promise<string> {
  try {
    return /^socket:\[(\d+)\]$/.exec(await readlink(`/proc/self/fd/${fd}`))?.[1] ?? '';
  } catch {
    return '';
  }
}

/** inode -> path of every listening unix stream socket (proc(5): Num RefCount Protocol Flags Type St Inode Path). */
async function listeningUnixSockets(): Promise<Map<string, string>> {
  const sockets = new Map<string, string>();
  for (const line of (await readFile('/proc/self/net/unix', 'utf8')).split('\n').slice(1)) {
    const [, , , flags = '0', , , inode = '', ...path] = line.trim().split(/\s+/);
    if ((Number.parseInt(flags, 16) & ACCEPTS) !== 0) sockets.set(inode, path.join(' '));
  }
  return sockets;
}

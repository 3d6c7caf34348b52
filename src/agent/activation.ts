/**
 * Socket activation (sd_listen_fds(3)): the service manager passes listening sockets as descriptors from 3 on. Containers
 * bind-mount those socket files, so they must survive a restart of the agent: they are never bound here while inherited.
 */
import { readFile, readlink } from 'node:fs/promises';
import * as ui from '../ui.ts';

const FIRST_FD = 3;
/** flag of /proc/net/unix for a socket that accepts connections (SO_ACCEPTCON) */
const ACCEPTS = 0x10000;

export interface InheritedSocket {
  readonly fd: number;
  /** file name of the unix socket */
  readonly path: string;
}

/**
 * The sockets passed to this process, in the order of the unit file; undefined at an index that is no listening unix
 * socket. The variables are removed from the environment: they are not meant for our children.
 */
export async function inheritedSockets(): Promise<(InheritedSocket | undefined)[]> {
  const count = Number(process.env['LISTEN_FDS'] ?? 0);
  const pid = process.env['LISTEN_PID'];
  for (const name of ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) delete process.env[name];
  if (!Number.isInteger(count) || count <= 0 || count > 64) return [];
  if (Number(pid) !== process.pid) {
    ui.debug(`LISTEN_FDS is meant for process ${pid ?? 'unknown'}, not for us (${process.pid}): ignored`);
    return [];
  }
  const table = await listeningUnixSockets();
  const sockets: (InheritedSocket | undefined)[] = [];
  for (let fd = FIRST_FD; fd < FIRST_FD + count; fd++) {
    const path = table.get(await inodeOf(fd));
    if (path === undefined) ui.warn(`inherited descriptor ${fd} is not a listening unix socket: ignored`);
    sockets.push(path === undefined ? undefined : { fd, path });
  }
  return sockets;
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

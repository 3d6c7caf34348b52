/** Who listens on a TCP port of this host: what a person wants to know when the port is taken. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { printable } from '../../src/printable.ts';

const LISTEN = '0A'; // TCP_LISTEN of include/net/tcp_states.h

/** Inode numbers of the sockets that listen on a port (proc(5), /proc/net/tcp and tcp6). */
export function listeningSockets(table: string, port: number): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, '0');
  return table.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/);
    return state === LISTEN && local.endsWith(`:${wanted}`) && inode !== undefined ? [inode] : [];
  });
}

/** `NAME (process PID)`; another user's process is not seen without root: `another process` then. */
export function whoHolds(port: number): string {
  const inodes = ['tcp', 'tcp6'].flatMap((name) => listeningSockets(read(`/proc/net/${name}`), port));
  const links = new Set(inodes.map((inode) => `socket:[${inode}]`));
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (descriptors(pid).some((target) => links.has(target)))
      return `${printable(read(`/proc/${pid}/comm`).trim())} (process ${pid})`;
  }
  return 'another process';
}

function read(file: string): string {
  try {
    return readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

function descriptors(pid: string): string[] {
  const folder = `/proc/${pid}/fd`;
  try {
    return readdirSync(folder).map((name) => {
      try {
        return readlinkSync(`${folder}/${name}`);
      } catch {
        return '';
      }
    });
  } catch {
    return [];
  }
}

/** Free space of the disk, looked at before something large is made, and named when there was too little after all. */
import { existsSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, resolve } from 'node:path';

export const MIB = 2 ** 20;

/** Bytes that a program of root may still write below a folder, which need not exist yet. */
export function freeSpace(folder: string): number {
  let there = resolve(folder);
  while (!existsSync(there)) there = dirname(there);
  const { bavail, bsize } = statfsSync(there);
  return bavail * bsize;
}

const mib = (bytes: number): string => `${Math.floor(bytes / MIB).toLocaleString('en')} MiB`;

/**
 * Throws before anything is made, with both figures.
 * @param what a plural, such as `the binaries`
 */
export function needSpace(folder: string, bytes: number, what: string): void {
  const free = freeSpace(folder);
  if (free >= bytes) return;
  throw new Error(
    `not enough free space: ${what} need about ${mib(bytes)} in ${resolve(folder)}, ${mib(free)} are free\n` +
      `  hint: make room there, or put the checkout on a larger disk`,
  );
}

/**
 * One sentence for a failure because of a full disk, whoever said it: a system call, or a program in its output.
 * @returns undefined for any other failure
 */
export function fullDisk(thrown: Error, folders: readonly string[] = ['.', tmpdir()]): string | undefined {
  const said = [thrown.message, (thrown as { stderr?: unknown }).stderr, (thrown as { code?: unknown }).code].join(
    '\n',
  );
  if (!/ENOSPC|no space left on device/i.test(said)) return undefined;
  const free = [...new Set(folders.map((it) => resolve(it)))].map((it) => `${it} has ${mib(freeSpace(it))}`);
  const last = thrown.message
    .trim()
    .split('\n')
    .slice(-6)
    .map((line) => `\n  | ${line.trim()}`);
  return `no space left on the disk: ${free.join(', ')} free\n  hint: make room and start again${last.join('')}`;
}

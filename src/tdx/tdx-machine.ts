/**
 * The narrow surface through which this room touches the kernel's files. Sysfs and configfs attributes are not ordinary
 * files: one write is one command, one read is one answer, and the size that `stat` tells means nothing. Tests install a
 * fake that obeys the same rules.
 */
import { constants, existsSync, statSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { DstackError, type ErrorCode } from '../errors.ts';
import { native } from '../sys/native.ts';

/** What the quote and register code needs of a file system. Failures are the errno errors of Node. */
export interface KernelFiles {
  isDirectory(path: string): Promise<boolean>;
  makeDirectory(path: string): Promise<void>;
  /** one read(2) of at most `limit` bytes from the start of the file */
  read(path: string, limit: number): Promise<Uint8Array>;
  /** one write(2) of all bytes to the start of the file; the file is neither created nor truncated */
  write(path: string, bytes: Uint8Array): Promise<void>;
  /** opens the file write-only and holds flock(LOCK_EX) on it until the answer is called */
  lock(path: string): Promise<() => Promise<void>>;
}

/** Where and how to reach the platform. */
export interface TdxMachine {
  /** put in front of every default path; empty on the real machine */
  readonly root: string;
  readonly files: KernelFiles;
  /** pause in milliseconds between tries */
  readonly sleep: (ms: number) => Promise<void>;
}

export const kernelFiles: KernelFiles = {
  isDirectory: async (path) => isDirectory(path),

  async makeDirectory(path) {
    await fs.mkdir(path);
  },

  async read(path, limit) {
    const handle = await fs.open(path, constants.O_RDONLY);
    try {
      const buffer = new Uint8Array(limit);
      const { bytesRead } = await handle.read(buffer, 0, limit, 0);
      return buffer.slice(0, bytesRead);
    } finally {
      await handle.close();
    }
  },

  async write(path, bytes) {
    const handle = await fs.open(path, constants.O_WRONLY);
    try {
      const { bytesWritten } = await handle.write(bytes, 0, bytes.length, 0);
      if (bytesWritten !== bytes.length) throw new Error(`short write: ${bytesWritten} of ${bytes.length} bytes`);
    } finally {
      await handle.close(); // configfs hands a binary attribute to the driver on close
    }
  },

  async lock(path) {
    const handle = await fs.open(path, constants.O_WRONLY);
    try {
      await (await native()).flockExclusive(handle.fd);
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
    return () => handle.close();
  },
};

/** The machine this process runs on. */
export const realTdxMachine: TdxMachine = {
  root: '',
  files: kernelFiles,
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

export const pathOf = (machine: Pick<TdxMachine, 'root'>, path: string): string => `${machine.root}${path}`;

export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

export const pathExists = (path: string): boolean => existsSync(path);

/** errno name of a failed call, empty when there is none */
export const errnoOf = (thrown: unknown): string => (thrown as NodeJS.ErrnoException | undefined)?.code ?? '';

/** Longest override the kernel interface accepts, in bytes including the terminating NUL of the reference's buffer. */
const OVERRIDE_LIMIT = 240;

/**
 * The directory named by an environment override, or undefined when the variable is not set. A set variable decides
 * alone: a bad value is an error, never a reason to fall back.
 * @throws the given code
 */
export async function overrideDirectory(
  variable: string,
  files: KernelFiles,
  code: ErrorCode = 'RTMR_PATH_INVALID',
): Promise<string | undefined> {
  const value = process.env[variable];
  if (value === undefined) return undefined;
  const refuse = (why: string) => new DstackError(code, `${variable} ${why}`, { field: variable, value, path: value });
  if (value === '') throw refuse('is empty');
  if (!value.startsWith('/')) throw refuse('is not an absolute path');
  if (Buffer.byteLength(value) >= OVERRIDE_LIMIT) throw refuse(`has ${OVERRIDE_LIMIT} bytes or more`);
  if (!(await files.isDirectory(value))) throw refuse('is not a directory');
  return value;
}

/** One ioctl on a device node; `argument` is read and written in place. */
export async function deviceIoctl(device: string, request: number, argument: Uint8Array): Promise<void> {
  const handle = await fs.open(device, 'r+');
  try {
    (await native()).ioctl(handle.fd, request, argument);
  } finally {
    await handle.close();
  }
}

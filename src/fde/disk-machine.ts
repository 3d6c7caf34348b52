/** What this room touches of the machine, in one place, so that tests can put a made-up sysfs tree under it. */
import * as fs from 'node:fs/promises';
import { DstackError } from '../errors.ts';
import { effect } from '../sys/effects.ts';
import { run } from '../sys/exec.ts';
import { ifExists } from '../sys/files.ts';
import { type MountEntry, mounts } from '../sys/mounts.ts';

/** Bytes and where on a device they go. */
export interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export interface DiskMachine {
  /** mount point of sysfs */
  readonly sysfs: string;
  /** folder of the device nodes */
  readonly dev: string;
  readonly run: typeof run;
  /** true if the path leads (through links) to a block device; false when it does not exist */
  isBlockDevice(path: string): Promise<boolean>;
  mounts(): Promise<MountEntry[]>;
  /** `length` bytes of a device at `at`; fewer where it ends. @throws FILE_IO */
  read(path: string, at: number, length: number): Promise<Uint8Array>;
  /** Writes to a device and returns when everything is on the disk. `why` is for the dry run. @throws FILE_IO */
  write(path: string, pieces: readonly Piece[], why: string): Promise<void>;
  /** text of /proc/swaps */
  swaps(): Promise<string>;
}

/** The real machine. */
export const realDiskMachine: DiskMachine = {
  sysfs: '/sys',
  dev: '/dev',
  run,
  async isBlockDevice(path) {
    return (await ifExists(() => fs.stat(path)))?.isBlockDevice() === true;
  },
  mounts,
  async read(path, at, length) {
    return device(path, 'r', async (handle) => {
      const bytes = new Uint8Array(length);
      let got = 0;
      while (got < length) {
        const { bytesRead } = await handle.read(bytes, got, length - got, at + got);
        if (bytesRead === 0) break;
        got += bytesRead;
      }
      return bytes.subarray(0, got);
    });
  },
  write: (path, pieces, why) =>
    effect(why, undefined, () =>
      device(path, 'r+', async (handle) => {
        for (const { at, bytes } of pieces) {
          const { bytesWritten } = await handle.write(bytes, 0, bytes.length, at);
          if (bytesWritten !== bytes.length) throw new Error(`only ${bytesWritten} of ${bytes.length} bytes at ${at}`);
        }
        await handle.sync(); // on a block device this also empties the write cache of the disk
      }),
    ),
  swaps: async () => (await ifExists(() => fs.readFile('/proc/swaps', 'utf8'))) ?? '',
};

/** The mount on top of `path`, or undefined when `path` is not a mount point. */
export async function topMount(path: string, machine: DiskMachine): Promise<MountEntry | undefined> {
  return (await machine.mounts()).findLast((entry) => entry.mountPoint === path);
}

async function device<T>(path: string, flags: 'r' | 'r+', work: (handle: fs.FileHandle) => Promise<T>): Promise<T> {
  try {
    const handle = await fs.open(path, flags);
    try {
      return await work(handle);
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    throw new DstackError('FILE_IO', `cannot ${flags === 'r' ? 'read' : 'write to'} ${path}`, { path, cause: thrown });
  }
}

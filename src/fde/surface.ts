/** What this room touches of the machine, in one place, so that tests can put a made-up sysfs tree under it. */
import * as fs from 'node:fs/promises';
import { run } from '../sys/exec.ts';
import { ifExists } from '../sys/files.ts';
import { type MountEntry, mounts } from '../sys/mounts.ts';

export interface Surface {
  /** mount point of sysfs */
  readonly sysfs: string;
  /** folder of the device nodes */
  readonly dev: string;
  readonly run: typeof run;
  /** true if the path leads (through links) to a block device; false when it does not exist */
  isBlockDevice(path: string): Promise<boolean>;
  mounts(): Promise<MountEntry[]>;
  /** text of /proc/swaps */
  swaps(): Promise<string>;
}

/** The real machine. */
export const SYSTEM: Surface = {
  sysfs: '/sys',
  dev: '/dev',
  run,
  async isBlockDevice(path) {
    return (await ifExists(() => fs.stat(path)))?.isBlockDevice() === true;
  },
  mounts,
  swaps: async () => (await ifExists(() => fs.readFile('/proc/swaps', 'utf8'))) ?? '',
};

/** The mount on top of `path`, or undefined when `path` is no mount point. */
export async function mountAt(path: string, surface: Surface): Promise<MountEntry | undefined> {
  return (await surface.mounts()).findLast((entry) => entry.mountPoint === path);
}

/** What this room touches of the machine, in one place, so that tests can put a made-up sysfs tree under it. */
import * as fs from 'node:fs/promises';
import { run } from '../sys/exec.ts';
import { ifExists } from '../sys/files.ts';

export interface Surface {
  /** mount point of sysfs */
  readonly sysfs: string;
  /** folder of the device nodes */
  readonly dev: string;
  readonly run: typeof run;
  /** true if the path leads (through links) to a block device; false when it does not exist */
  isBlockDevice(path: string): Promise<boolean>;
}

/** The real machine. */
export const SYSTEM: Surface = {
  sysfs: '/sys',
  dev: '/dev',
  run,
  async isBlockDevice(path) {
    return (await ifExists(() => fs.stat(path)))?.isBlockDevice() === true;
  },
};

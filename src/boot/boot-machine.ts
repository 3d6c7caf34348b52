/** What the phases of this room need of the machine; tests pass another root folder and a recorder for programs. */
import { run } from '../sys/exec.ts';
import { bindMount, mountAt } from '../sys/mounts.ts';

export interface BootMachine {
  readonly run: typeof run;
  readonly mountAt: typeof mountAt;
  readonly bindMount: typeof bindMount;
  /** put in front of every absolute path that is only looked at (/dev, /sys, /proc), default empty */
  readonly root: string;
}

export const realBootMachine: BootMachine = { run, mountAt, bindMount, root: '' };

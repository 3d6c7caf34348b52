/** The kernel command line that this machine was started with. */
import { readFile } from 'node:fs/promises';
import { ifExists } from '../sys/files.ts';
import { type Cmdline, parseCmdline } from './cmdline.ts';

/** Empty where there is no /proc. */
export const readCmdline = async (): Promise<Cmdline> =>
  parseCmdline((await ifExists(() => readFile('/proc/cmdline', 'utf8'))) ?? '');

/** One VM a folder: its disks and its share must not change below a running guest. One simulator, too. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Start time of a process in clock ticks (proc(5)): with the pid it names a process for good. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

/**
 * Notes in the folder that this process runs its VM; throws while another process that is still alive does.
 * @param what is running there
 * @returns takes the note away
 */
export function claim(dir: string, what = 'a VM'): () => void {
  mkdirSync(dir, { recursive: true });
  const file = join(dir, 'runner.pid');
  const own = `${process.pid} ${startTime(process.pid)}`;
  const release = () => rmSync(file, { force: true });
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(file, own, { flag: 'wx' });
      return release;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST' || attempt > 0) throw thrown;
      const [pid = '', started] = readFileSync(file, 'utf8').split(' ');
      if (started !== undefined && startTime(Number(pid)) === started) {
        throw new Error(
          `${what} in ${dir} is running already (process ${pid})\n  hint: end it first, with Ctrl-C or kill ${pid}`,
        );
      }
      release();
    }
  }
}

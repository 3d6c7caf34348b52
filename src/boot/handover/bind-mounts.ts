/** Puts what was set up where programs expect it: container state on the data disk, the work folder at /dstack. */
import { PATHS } from '../../config/paths.ts';
import { findErrno } from '../../errors.ts';
import { makeDir } from '../../sys/files.ts';
import * as ui from '../../ui.ts';
import { allSettledOrThrow } from '../all-settled.ts';
import type { BootMachine } from '../boot-machine.ts';

/** Folders of /var/lib that live on the data disk and survive a boot. */
export const STATE_DIRS = ['docker', 'containerd', 'containerd-stargz-grpc', 'nerdctl', 'sysbox'] as const;

async function bind(source: string, target: string, machine: BootMachine): Promise<void> {
  if ((await machine.mountAt(target)) !== undefined) return ui.debug(`${target} is already mounted`);
  await machine.bindMount(source, target);
}

/** Binds `<data disk>/var/lib/X` to `/var/lib/X`. A folder that the read-only image does not have is not needed by it. */
export async function bindState(mountPoint: string, machine: BootMachine): Promise<void> {
  await allSettledOrThrow(STATE_DIRS.map((name) => bindStateDir(name, mountPoint, machine)));
}

async function bindStateDir(name: string, mountPoint: string, machine: BootMachine): Promise<void> {
  const target = `/var/lib/${name}`;
  try {
    await makeDir(`${machine.root}${target}`, 0o711);
  } catch (thrown) {
    if (findErrno(thrown) !== 'EROFS') throw thrown;
    return ui.debug(`${target} is not in the image: not bound`);
  }
  const source = `${mountPoint}/var/lib/${name}`;
  await makeDir(source, 0o711);
  await bind(source, target, machine);
}

/** Binds the work folder, with everything mounted below it, to /dstack. */
export async function bindWorkDir(workDir: string, machine: BootMachine): Promise<void> {
  await makeDir(`${machine.root}${PATHS.dstack}`);
  await bind(workDir, PATHS.dstack, machine);
}

/** Writable overlays over the folders of the read-only root that programs and apps write to; gone at the next boot. */
import * as fs from 'node:fs/promises';
import { ifExists, makeDir } from '../../sys/files.ts';
import * as ui from '../../ui.ts';
import { allSettledOrThrow } from '../all-settled.ts';
import type { BootMachine } from '../boot-machine.ts';

export const OVERLAY_DIRS = ['/etc', '/usr', '/bin', '/home'] as const;
export const OVERLAY_STORE = '/var/volatile/overlay';

/** Mounts each folder over itself with an upper layer in the volatile store. Links (a merged /bin) and done ones are skipped. */
export async function mountOverlays(machine: BootMachine, dirs: readonly string[] = OVERLAY_DIRS): Promise<void> {
  await allSettledOrThrow(dirs.map((dir) => mountOverlay(machine, dir)));
}

async function mountOverlay(machine: BootMachine, dir: string): Promise<void> {
  const stat = await ifExists(() => fs.lstat(`${machine.root}${dir}`));
  if (stat === undefined || !stat.isDirectory()) {
    return ui.debug(`overlay ${dir}: skipped, it is ${stat?.isSymbolicLink() ? 'a symbolic link' : 'no folder'}`);
  }
  if ((await machine.mountAt(dir))?.type === 'overlay') return ui.debug(`overlay ${dir}: already mounted`);
  const [upper, work] = [`${OVERLAY_STORE}${dir}/upper`, `${OVERLAY_STORE}${dir}/work`];
  await makeDir(`${machine.root}${upper}`);
  await makeDir(`${machine.root}${work}`);
  const layers = `lowerdir=${dir},upperdir=${upper},workdir=${work}`;
  await machine.run('mount', ['-t', 'overlay', 'overlay', '-o', layers, dir], { code: 'MOUNT_FAILED' });
}

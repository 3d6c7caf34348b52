/**
 * Builds what the VM tests boot before the first of them: a compile inside a test would look like a hanging guest. The ZFS
 * modules, which take minutes once for each kernel, are compiled beside the tests that do without, when a test that was
 * asked for needs them.
 */
import type { TestProject } from 'vitest/node';
import { type DevImageOptions, ensureDevImage } from '../../initramfs/vm/dev-image.ts';
import { needsZfs } from './needs-zfs.ts';

const say = (text: string) => process.stderr.write(`image: ${text}\n`);
export const told: Pick<DevImageOptions, 'onCompile' | 'onProgress'> = {
  onCompile: (state) => say(`binaries ${state}`),
  onProgress: ({ step, state, detail, ms }) => {
    if (state === 'start' && detail) say(`${step}: ${detail}`);
    if (state === 'done' && (ms ?? 0) > 1000) say(`${step}: done in ${((ms ?? 0) / 1000).toFixed(1)} s`);
  },
};

/** @returns waits for what is still being built: half a build would be lost */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await ensureDevImage({ zfs: false, ...told });
  // the names on the command line; where vitest no longer keeps them there, all files count
  const { filenamePattern } = project.vitest as { filenamePattern?: string[] };
  const { testFiles } = await project.globTestFiles(filenamePattern);
  if (!testFiles.some(needsZfs)) return async () => {};
  // a test that needs the image builds it too, or waits for it, and has the failure if there is one
  const built = ensureDevImage({ zfs: true, ...told }).catch(({ message }: Error) => say(`with ZFS: ${message}`));
  return async () => void (await built);
}

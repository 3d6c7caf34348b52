/** The dev image with the demo app inside, from sources to files: whatever is missing or older than its sources is built. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { DEMO_ARCHIVE, ensureDemoArchive } from '../demo/image.ts';
import { projectRoot, withLock } from '../lib/cache.ts';
import { ensureHost } from '../lib/host.ts';
import { ensureImage, type Image, type Manifest, type OnProgress } from '../lib/image.ts';
import { step } from '../lib/progress.ts';
import { run } from '../lib/run.ts';
import { ensureTools, haveTools } from '../lib/tools.ts';
import type { BootImage } from './machine-options.ts';
import { noteStep } from './step-log.ts';

const BUN = join(projectRoot, 'node_modules/@oven/bun-linux-x64-baseline/bin/bun');

export interface DevImageOptions {
  readonly zfs: boolean;
  readonly mirror?: string;
  readonly onProgress?: OnProgress;
  /** called when the binaries have to be compiled first, and when that is done */
  readonly onCompile?: (state: 'start' | 'done') => void;
  /** other binaries than dist/, for tests */
  readonly binaries?: { util: string; sim: string };
}

/** Builds what is missing and returns the image. */
export async function ensureDevImage(given: DevImageOptions): Promise<BootImage> {
  const onProgress: OnProgress = (event) => {
    if (event.state === 'done') void noteStep(event.step, event.ms ?? 0);
    given.onProgress?.(event);
  };
  const options = { ...given, onProgress };
  await ensureHost((detail) => onProgress({ step: 'host', state: 'progress', detail }));
  const binaries = options.binaries ?? (await ensureBinaries(options.onCompile));
  const archive = await ensureDemo(options);
  const image = await ensureImage({
    profile: 'dev',
    zfs: options.zfs,
    binaries,
    extraFiles: [{ hostPath: archive, imagePath: DEMO_ARCHIVE, mode: 0o644 }],
    ...(options.mirror === undefined ? {} : { mirror: options.mirror }),
    onProgress,
  });
  return bootImage(image);
}

/** The demo archive is made of files of the tools tree, so the tree comes before the image here. */
async function ensureDemo({ mirror, onProgress }: DevImageOptions): Promise<string> {
  await withLock('tools', async () => {
    if (!(await haveTools())) await step(onProgress, 'tools tree', undefined, (say) => ensureTools({ mirror, say }));
  });
  return withLock('demo', ensureDemoArchive);
}

/** What the runner needs of a built image. */
export async function bootImage(image: Image): Promise<BootImage> {
  const { osImageHash } = JSON.parse(await readFile(image.manifest, 'utf8')) as Manifest;
  return {
    kernel: image.vmlinux ?? image.kernel,
    initrd: image.initrd,
    root: image.root,
    cmdline: image.cmdline,
    osImageHash,
    name: `dstack-dev-${image.rootHash.slice(0, 12)}`,
    folder: image.dir,
  };
}

const SOURCES = ['bin', 'src', 'simulator', 'package.json', 'package-lock.json', 'scripts/build.ts'];

/** Compiles dist/dstack-util and dist/dstack-sim if one of them is missing or older than a source file. */
export async function ensureBinaries(onCompile?: DevImageOptions['onCompile']): Promise<{ util: string; sim: string }> {
  const binaries = { util: join(projectRoot, 'dist/dstack-util'), sim: join(projectRoot, 'dist/dstack-sim') };
  const built = Math.min(await modified(binaries.util), await modified(binaries.sim));
  if (built < (await newest(SOURCES))) {
    onCompile?.('start');
    const began = performance.now();
    await run([BUN, 'scripts/build.ts'], { cwd: projectRoot, timeoutMs: 300_000 });
    await noteStep('binaries', Math.round(performance.now() - began));
    onCompile?.('done');
  }
  return binaries;
}

const modified = (path: string): Promise<number> =>
  stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );

async function newest(names: readonly string[]): Promise<number> {
  let latest = 0;
  for (const name of names) {
    const path = join(projectRoot, name);
    latest = Math.max(latest, await modified(path));
    const below = await readdir(path, { recursive: true }).catch(() => []);
    for (const child of below) latest = Math.max(latest, await modified(join(path, child)));
  }
  return latest;
}

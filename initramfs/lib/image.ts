/** The face of the image builder: everything a machine needs to start, built or taken from the cache. */
import { copyFile, link, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashFile, hashTree, isCached, keyOf, projectRoot, prune, withLock } from './cache.ts';
import { kernelCmdline } from './cmdline.ts';
import { ensureHost } from './host.ts';
import { describeFile, ensureInitrd, readJson } from './initrd.ts';
import { ensureKernel, ensureModules } from './kernel.ts';
import { ensurePackages, havePackages, type Profile } from './packages.ts';
import { type OnProgress, step } from './progress.ts';
import { addVerity, type ExtraFile, makeRoot, overlayDirs, type RootInputs } from './rootfs.ts';
import { ensureTdxSim } from './tdx-sim.ts';
import { ensureTools, haveTools, type Tools } from './tools.ts';
import { ensureZfs, haveZfs } from './zfs.ts';

export type { Profile } from './packages.ts';
export type { OnProgress, ProgressEvent } from './progress.ts';
export type { ExtraFile } from './rootfs.ts';

export interface ImageOptions {
  profile: Profile;
  /** With the ZFS kernel modules; the userland is in every image. */
  zfs: boolean;
  /** The compiled binaries; `sim` belongs to the dev profile only. */
  binaries: { util: string; sim?: string };
  /** Further files, such as an archive of the demo's containers. */
  extraFiles?: ExtraFile[];
  /** Base address of a Debian archive; the host's own one by default. */
  mirror?: string;
  onProgress?: OnProgress;
  /** Builds packages and root once more under this name instead of using the cache, to compare the two. */
  again?: string;
}

export interface Image {
  dir: string;
  kernel: string;
  initrd: string;
  /** squashfs, and from `rootSize` on its verity hash tree. */
  root: string;
  rootHash: string;
  rootSize: number;
  cmdline: string;
  kernelVersion: string;
  manifest: string;
}

interface Manifest {
  profile: Profile;
  zfs: boolean;
  kernelVersion: string;
  rootHash: string;
  rootSize: number;
  cmdline: string;
  files: Record<string, { size: number; sha256: string }>;
  packages: Record<string, string>;
}

/** Builds an image, or finds it in the cache. Only one build runs at a time; others wait. */
export async function ensureImage(options: ImageOptions): Promise<Image> {
  if (options.profile === 'prod' && options.binaries.sim) {
    throw new Error('a prod image cannot contain the simulator\n  hint: leave out binaries.sim');
  }
  const { onProgress } = options;
  await step(onProgress, 'host', undefined, ensureHost);
  const onWait = () => onProgress?.({ step: 'host', state: 'progress', detail: 'waiting for another build to end' });
  const cachedNote = (is: boolean) => (is ? 'cached' : undefined);
  const tools = await withLock(
    'tools',
    async () =>
      step(onProgress, 'tools tree', cachedNote(await haveTools()), (say) =>
        ensureTools({ mirror: options.mirror, say }),
      ),
    onWait,
  );
  // Compiling ZFS takes minutes: it has a lock of its own, so that an image without it need not wait.
  const zfs = options.zfs ? [await withLock('zfs', () => zfsModules(tools, onProgress), onWait)] : [];
  return withLock('image', () => build(options, tools, zfs), onWait);
}

async function zfsModules(tools: Tools, onProgress: OnProgress | undefined): Promise<string> {
  const note = (await haveZfs(tools)) ? 'cached' : 'compiling, this takes minutes once for each kernel';
  return step(onProgress, 'zfs modules', note, (say) => ensureZfs(tools, say));
}

async function build(options: ImageOptions, tools: Tools, zfs: readonly string[]): Promise<Image> {
  const { profile, onProgress, mirror } = options;
  const again = options.again === undefined ? {} : { again: options.again };
  const note = (await havePackages(tools, profile)) && !options.again ? 'cached' : undefined;
  const packages = await step(onProgress, 'packages', note, (say) =>
    ensurePackages(tools, profile, { mirror, say, ...again }),
  );
  const kernel = await step(onProgress, 'kernel', tools.kernelVersion, () => ensureKernel(tools));
  const sim = profile === 'dev' ? [await step(onProgress, 'tdx-sim module', undefined, () => ensureTdxSim(tools))] : [];
  const extraModules = [...sim, ...zfs];
  const modules = await ensureModules(kernel, extraModules);
  const initrd = await step(onProgress, 'initramfs', undefined, () => ensureInitrd(tools, kernel));

  const files = imageFiles(options);
  const inputs: RootInputs = { profile, packages: packages.tree, modules, files };
  const key = keyOf('image 1', profile, packages.key, modules, initrd, await ownHash(profile, files), again);
  if (!(await isCached('images', key))) {
    await cached('images', key, async (dir) => {
      const rootSize = await step(
        onProgress,
        'root image',
        undefined,
        () => makeRoot(dir, inputs),
        (size) => `${(size / 1e6).toFixed(0)} MB`,
      );
      const rootHash = await step(
        onProgress,
        'verity',
        undefined,
        () => addVerity(dir, rootSize),
        (hash) => hash,
      );
      await linkOrCopy(profile === 'dev' ? kernel.vmlinux : kernel.bzImage, join(dir, 'kernel'));
      await linkOrCopy(initrd, join(dir, 'initrd'));
      const manifest: Manifest = {
        profile,
        zfs: options.zfs,
        kernelVersion: kernel.version,
        rootHash,
        rootSize,
        cmdline: kernelCmdline(profile, rootHash, rootSize),
        files: {},
        packages: Object.fromEntries(
          packages.versions
            .trim()
            .split('\n')
            .map((line) => line.split('\t')),
        ),
      };
      for (const name of ['kernel', 'initrd', 'root']) manifest.files[name] = await describeFile(join(dir, name));
      await writeFile(join(dir, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    });
  }
  const dir = await cached('images', key, () => Promise.reject(new Error('image vanished from the cache')));
  await prune('images', 6);
  return describe(dir);
}

function imageFiles(options: ImageOptions): ExtraFile[] {
  const files = [{ hostPath: options.binaries.util, imagePath: '/usr/bin/dstack-util', mode: 0o755 }];
  if (options.binaries.sim)
    files.push({ hostPath: options.binaries.sim, imagePath: '/usr/bin/dstack-sim', mode: 0o755 });
  return [...files, ...(options.extraFiles ?? [])];
}

/** The hash over everything in the image that comes from this repository. */
async function ownHash(profile: Profile, files: readonly ExtraFile[]): Promise<string> {
  const here = join(projectRoot, 'initramfs');
  const parts: unknown[] = [await hashFile(join(here, 'masked.list'))];
  for (const name of ['rootfs.ts', 'cmdline.ts']) parts.push(await hashFile(join(here, 'lib', name)));
  for (const dir of overlayDirs(profile)) parts.push(await hashTree(dir));
  for (const file of files) parts.push([file.imagePath, file.mode, await hashFile(file.hostPath)]);
  return keyOf(parts);
}

/** Artefacts are never changed in place, so a second name for the same content is enough. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to));
}

async function describe(dir: string): Promise<Image> {
  const manifest = join(dir, 'manifest.json');
  const { rootHash, rootSize, cmdline, kernelVersion } = await readJson<Manifest>(manifest);
  const at = (name: string) => join(dir, name);
  return {
    dir,
    kernel: at('kernel'),
    initrd: at('initrd'),
    root: at('root'),
    rootHash,
    rootSize,
    cmdline,
    kernelVersion,
    manifest,
  };
}

/** The face of the image builder: everything a machine needs to start, built or taken from the cache. */
import { createHash } from 'node:crypto';
import { copyFile, link, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { imageSbom, type PackageRecord, packageRecords } from './bill.ts';
import { cached, hashFile, hashTree, keyOf, projectRoot, prune } from './cache.ts';
import { kernelCmdline, PARTITION } from './cmdline.ts';
import { ensureHost } from './host.ts';
import { describeFile, ensureInitrd, readJson } from './initrd.ts';
import { ensureKernel, ensureModules } from './kernel.ts';
import { sourceDateEpoch } from './mmdebstrap.ts';
import { ensurePackages, havePackages, type PackageLayer, type Profile } from './packages.ts';
import { type OnProgress, step } from './progress.ts';
import { addVerity, type ExtraFile, type HashedFile, makeRoot, overlayDirs, type RootInputs } from './rootfs.ts';
import { ensureTdxSim } from './tdx-sim.ts';
import { ensureTools, haveTools } from './tools.ts';
import { ensureUki } from './uki.ts';
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
  /** Also one file for firmware boot. */
  uki?: boolean;
  /** Time servers for the command line, `HOST[:PORT],...`. */
  nts?: string | undefined;
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
  /** SPDX 2.3. */
  sbom: string;
  /** Checksums of the files above; its own SHA-256 is what dstack calls the OS image hash. */
  checksums: string;
  /** The unified kernel image, if it was asked for. */
  uki?: string;
}

export interface Manifest {
  profile: Profile;
  zfs: boolean;
  kernelVersion: string;
  rootHash: string;
  rootSize: number;
  cmdline: string;
  files: Record<string, { size: number; sha256: string }>;
  /** The SHA-256 of the file of checksums. */
  osImageHash: string;
  packages: Record<string, PackageRecord>;
  /** What comes from this repository: path in the image, SHA-256. */
  programs: Record<string, string>;
}

/** Builds an image, or finds it in the cache. */
export async function ensureImage(options: ImageOptions): Promise<Image> {
  const { profile, zfs, mirror, onProgress } = options;
  if (profile === 'prod' && options.binaries.sim) {
    throw new Error('a prod image cannot contain the simulator\n  hint: leave out binaries.sim');
  }
  const again = options.again ?? '';
  const note = (isThere: boolean) => (isThere ? 'cached' : undefined);

  await step(onProgress, 'host', undefined, ensureHost);
  const tools = await step(onProgress, 'tools tree', note(await haveTools()), (say) => ensureTools({ mirror, say }));
  const packages = await step(onProgress, 'packages', note(await havePackages(tools, profile, again)), (say) =>
    ensurePackages(tools, profile, { mirror, say, again }),
  );
  const kernel = await step(onProgress, 'kernel', tools.kernelVersion, () => ensureKernel(tools));
  const extra: string[] = [];
  if (profile === 'dev') extra.push(await step(onProgress, 'tdx-sim module', undefined, () => ensureTdxSim(tools)));
  if (zfs) {
    const hint = note(await haveZfs(tools)) ?? 'compiling, this takes minutes once for each kernel';
    extra.push(await step(onProgress, 'zfs modules', hint, (say) => ensureZfs(tools, say)));
  }
  const modules = await ensureModules(kernel, extra);
  const initrd = await step(onProgress, 'initramfs', undefined, () => ensureInitrd(tools, kernel, again));

  const files = await hashedFiles(options);
  const records = await step(onProgress, 'bill of materials', undefined, () => ensureRecords(packages));
  const key = keyOf(
    'image 3',
    profile,
    packages.key,
    modules,
    initrd,
    await ownHash(profile),
    files,
    again,
    ...(options.nts === undefined ? [] : [options.nts]),
  );
  const dir = await cached('images', key, async (temp) => {
    const inputs: RootInputs = { profile, packages: packages.tree, modules, files };
    const megabytes = (size: number) => `${(size / 1e6).toFixed(0)} MB`;
    const rootSize = await step(onProgress, 'root image', undefined, () => makeRoot(temp, inputs), megabytes);
    const rootHash = await step(onProgress, 'verity', undefined, () => addVerity(temp, rootSize), String);
    await linkOrCopy(profile === 'dev' ? kernel.vmlinux : kernel.bzImage, join(temp, 'kernel'));
    await linkOrCopy(initrd, join(temp, 'initrd'));
    const manifest: Manifest = {
      profile,
      zfs,
      kernelVersion: kernel.version,
      rootHash,
      rootSize,
      cmdline: kernelCmdline(profile, rootHash, rootSize, undefined, options.nts),
      files: {},
      osImageHash: '',
      packages: records,
      programs: Object.fromEntries(files.map(({ imagePath, sha256 }) => [imagePath, sha256])),
    };
    for (const name of ['kernel', 'initrd', 'root']) manifest.files[name] = await describeFile(join(temp, name));
    const checksums = checksumText(Object.entries(manifest.files).map(([name, { sha256 }]) => [name, sha256]));
    await writeFile(join(temp, 'sha256sum.txt'), checksums);
    manifest.osImageHash = osImageHash(checksums);
    const bill = { name: `dstack-${profile}`, rootHash, epoch: sourceDateEpoch, packages: records, programs: files };
    await writeFile(join(temp, 'sbom.spdx.json'), imageSbom({ ...bill, kernelVersion: kernel.version }));
    await writeFile(join(temp, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  });
  await prune('images', 6);
  const image = await describe(dir);
  if (options.uki !== true) return image;
  const cmdline = kernelCmdline(profile, image.rootHash, image.rootSize, PARTITION, options.nts);
  const parts = { bzImage: kernel.bzImage, kernelVersion: kernel.version, initrd, cmdline, mirror };
  const uki = await step(onProgress, 'uki', undefined, (say) => ensureUki({ ...parts, say }, again));
  return { ...image, uki };
}

/** Hashing the package files takes seconds: once for each package layer. */
async function ensureRecords({ key, versions }: PackageLayer): Promise<Record<string, PackageRecord>> {
  const dir = await cached('bills', key, async (temp) => {
    await writeFile(join(temp, 'packages.json'), JSON.stringify(await packageRecords(versions)));
  });
  await prune('bills', 4);
  return readJson(join(dir, 'packages.json'));
}

/** `<sha256>  <name>` lines in name order, as sha256sum(1) checks them. */
export function checksumText(files: readonly (readonly [name: string, sha256: string])[]): string {
  return [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, sha256]) => `${sha256}  ${name}\n`)
    .join('');
}

/** What dstack calls the hash of an OS image: SHA-256 of its file of checksums. Hex. */
export const osImageHash = (checksums: string): string => createHash('sha256').update(checksums).digest('hex');

async function hashedFiles(options: ImageOptions): Promise<HashedFile[]> {
  const { util, sim } = options.binaries;
  const files = [{ hostPath: util, imagePath: '/usr/bin/dstack-util', mode: 0o755 }];
  if (sim) files.push({ hostPath: sim, imagePath: '/usr/bin/dstack-sim', mode: 0o755 });
  files.push(...(options.extraFiles ?? []));
  return Promise.all(files.map(async (file) => ({ ...file, sha256: await hashFile(file.hostPath) })));
}

/** The hash over everything in the image that comes from this repository, save the binaries. */
async function ownHash(profile: Profile): Promise<string> {
  const here = join(projectRoot, 'initramfs');
  const parts: string[] = [];
  const names = ['masked.list', 'removed.list', 'lib/rootfs.ts', 'lib/cmdline.ts'];
  for (const name of names) parts.push(await hashFile(join(here, name)));
  for (const dir of overlayDirs(profile)) parts.push(await hashTree(dir));
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
    sbom: at('sbom.spdx.json'),
    checksums: at('sha256sum.txt'),
  };
}

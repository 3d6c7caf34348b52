/** The face of the image builder: everything a machine needs to start, built or taken from the cache. */
import { copyFile, link, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CHECKSUM_FILE, DIGEST_FILE, MEASUREMENT_FILE, METADATA_FILE } from '../../src/os-image/os-image.ts';
import { imageSbom, type PackageRecord, packageRecords } from './bill.ts';
import { cached, hashFile, hashTree, keyOf, projectRoot, prune } from './cache.ts';
import { kernelCmdline, PARTITION } from './cmdline.ts';
import { ensureFirmware } from './firmware.ts';
import { ensureHost } from './host.ts';
import { describeFile, ensureInitrd, readJson } from './initrd.ts';
import { ensureKernel, ensureModules } from './kernel.ts';
import { sourceDateEpoch } from './mmdebstrap.ts';
import { ensurePackages, havePackages, type PackageLayer, type Profile } from './packages.ts';
import { metadataText, PARTS, packArchive, writeIdentity } from './platform-folder.ts';
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
  /** A folder as the platform's VMM starts it. */
  dir: string;
  /** The package's bzImage. */
  kernel: string;
  /** Dev images only: the same kernel uncompressed, which starts faster under emulation. */
  vmlinux?: string;
  initrd: string;
  /** The TDX firmware. */
  firmware: string;
  /** squashfs, and from `rootSize` on its verity hash tree. */
  root: string;
  rootHash: string;
  rootSize: number;
  cmdline: string;
  kernelVersion: string;
  manifest: string;
  /** SPDX 2.3. */
  sbom: string;
  metadata: string;
  /** What a verifier needs of the image instead of the image. */
  measurement: string;
  /** Checksums of what identifies the image; its own SHA-256 is what dstack calls the OS image hash. */
  checksums: string;
  digest: string;
  /** Prod images only: what a KMS downloads. */
  archive?: string;
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
  /** Where the TDX firmware comes from. */
  firmware: PackageRecord & { package: string };
  packages: Record<string, PackageRecord>;
  /** What comes from this repository: path in the image, SHA-256. */
  programs: Record<string, string>;
}

const VMLINUX = 'vmlinux';

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
  const { file: firmwareFile, ...firmware } = await step(onProgress, 'firmware', undefined, (say) =>
    ensureFirmware({ mirror, say, again }),
  );

  const files = await hashedFiles(options);
  const records = await step(onProgress, 'bill of materials', undefined, () => ensureRecords(packages));
  const key = keyOf(
    'image 4',
    profile,
    packages.key,
    modules,
    initrd,
    [firmwareFile, firmware],
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
    await linkOrCopy(kernel.bzImage, join(temp, PARTS.kernel));
    if (profile === 'dev') await linkOrCopy(kernel.vmlinux, join(temp, VMLINUX));
    await linkOrCopy(initrd, join(temp, PARTS.initrd));
    await linkOrCopy(firmwareFile, join(temp, PARTS.firmware));
    const cmdline = kernelCmdline(profile, rootHash, rootSize, undefined, options.nts);
    await writeFile(join(temp, METADATA_FILE), metadataText({ cmdline, rootHash, isDev: profile === 'dev' }));
    const hash = await writeIdentity(temp);
    if (profile === 'prod') await step(onProgress, 'archive', undefined, () => packArchive(temp, hash));
    const manifest: Manifest = {
      profile,
      zfs,
      kernelVersion: kernel.version,
      rootHash,
      rootSize,
      cmdline,
      files: {},
      osImageHash: hash,
      firmware,
      packages: records,
      programs: Object.fromEntries(files.map(({ imagePath, sha256 }) => [imagePath, sha256])),
    };
    for (const name of [...Object.values(PARTS), ...(profile === 'dev' ? [VMLINUX] : [])])
      manifest.files[name] = await describeFile(join(temp, name));
    const { package: ovmf, ...origin } = firmware;
    const packaged = { ...records, [ovmf]: origin };
    const bill = { name: `dstack-${profile}`, rootHash, epoch: sourceDateEpoch, packages: packaged, programs: files };
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

async function hashedFiles(options: ImageOptions): Promise<HashedFile[]> {
  const { util, sim } = options.binaries;
  const files = [{ hostPath: util, imagePath: '/usr/bin/dstack-util', mode: 0o755 }];
  if (sim) files.push({ hostPath: sim, imagePath: '/usr/bin/dstack-sim', mode: 0o755 });
  files.push(...(options.extraFiles ?? []));
  return Promise.all(files.map(async (file) => ({ ...file, sha256: await hashFile(file.hostPath) })));
}

/** The hash over everything in the image, and beside it, that comes from this repository, save the binaries. */
async function ownHash(profile: Profile): Promise<string> {
  const here = join(projectRoot, 'initramfs');
  const parts: string[] = [];
  const names = ['masked.list', 'removed.list', 'lib/rootfs.ts', 'lib/cmdline.ts', 'lib/platform-folder.ts'];
  for (const name of names) parts.push(await hashFile(join(here, name)));
  // the measurement document is computed by the second
  for (const dir of [...overlayDirs(profile), join(projectRoot, 'src/os-image')]) parts.push(await hashTree(dir));
  return keyOf(parts);
}

/** Artefacts are never changed in place, so a second name for the same content is enough. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to));
}

async function describe(dir: string): Promise<Image> {
  const manifest = join(dir, 'manifest.json');
  const { profile, rootHash, rootSize, cmdline, kernelVersion, osImageHash } = await readJson<Manifest>(manifest);
  const at = (name: string) => join(dir, name);
  return {
    dir,
    kernel: at(PARTS.kernel),
    ...(profile === 'dev' ? { vmlinux: at(VMLINUX) } : { archive: at(`${osImageHash}.tar.gz`) }),
    initrd: at(PARTS.initrd),
    firmware: at(PARTS.firmware),
    root: at(PARTS.root),
    rootHash,
    rootSize,
    cmdline,
    kernelVersion,
    manifest,
    sbom: at('sbom.spdx.json'),
    metadata: at(METADATA_FILE),
    measurement: at(MEASUREMENT_FILE),
    checksums: at(CHECKSUM_FILE),
    digest: at(DIGEST_FILE),
  };
}

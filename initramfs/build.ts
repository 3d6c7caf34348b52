/** `npm run image`: builds a guest image and says where it is. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import chalk from 'chalk';
import { Option } from 'commander';
import { npmScript, runScript } from '../scripts/lib/script.ts';
import { exists, hashFile, projectRoot, removeTree } from './lib/cache.ts';
import { differingInRoots } from './lib/compare.ts';
import {
  ensureImage,
  type Image,
  type ImageOptions,
  type Manifest,
  type Profile,
  type ProgressEvent,
} from './lib/image.ts';
import { describeFile, readJson } from './lib/initrd.ts';
import { discardAgain } from './lib/packages.ts';
import { loadTools } from './lib/tools.ts';

interface Flags {
  profile: Profile;
  zfs: boolean;
  mirror?: string;
  util: string;
  sim: string;
  json: boolean;
  check: boolean;
  uki: boolean;
  nts?: string;
}

const started = performance.now();

function report(event: ProgressEvent): void {
  const clock = `${((performance.now() - started) / 1000).toFixed(1)} s`.padStart(8);
  if (event.state === 'done' && (event.ms ?? 0) < 300 && !event.detail) return; // it was cached
  const took = event.state === 'done' ? `done in ${((event.ms ?? 0) / 1000).toFixed(1)} s` : undefined;
  const text = [took, event.detail].filter(Boolean).join(', ');
  if (event.state === 'start' && !text) return;
  console.error(`${chalk.dim(clock)}  ${chalk.bold(event.step)}: ${text}`);
}

async function main(flags: Flags): Promise<void> {
  const binaries: ImageOptions['binaries'] = { util: flags.util };
  if (flags.profile === 'dev') binaries.sim = flags.sim;
  for (const path of Object.values(binaries)) {
    if (!(await exists(path))) throw new Error(`${path} does not exist\n  hint: npm run build`);
  }
  const options: ImageOptions = {
    profile: flags.profile,
    zfs: flags.zfs,
    binaries,
    onProgress: report,
    uki: flags.uki,
    nts: flags.nts,
  };
  if (flags.mirror) options.mirror = flags.mirror;
  const image = await ensureImage(options);
  if (flags.check) await compare(image, options);
  if (flags.json) console.log(JSON.stringify(image, null, 2));
  else await print(image);
}

/** Builds packages, initramfs and root a second time and compares every file of the image. */
async function compare(image: Image, options: ImageOptions): Promise<void> {
  const again = `-check-${process.pid}`;
  const second = await ensureImage({ ...options, again });
  const different: string[] = [];
  const compared = FILES.filter((name) => image[name] !== undefined);
  for (const name of compared) {
    if ((await hashFile(image[name] ?? '')) !== (await hashFile(second[name] ?? ''))) different.push(name);
  }
  const details = different.includes('root') ? await differingInRoots(image.root, second.root) : [];
  await discardAgain(await loadTools(), options.profile, again);
  if (different.length > 0) {
    const lines = [`not reproducible: ${different.join(', ')} differ`, ...details.map((line) => `  ${line}`)];
    throw new Error(`${lines.join('\n')}\n  hint: compare ${image.dir} and ${second.dir}`);
  }
  await removeTree(second.dir);
  if (second.uki) await removeTree(dirname(second.uki));
  console.error(`two builds gave the same ${compared.join(', ')}`);
}

/** All files of an image. */
const FILES = [
  ...([
    'kernel',
    'vmlinux',
    'initrd',
    'firmware',
    'root',
    'metadata',
    'measurement',
    'checksums',
    'digest',
    'archive',
  ] as const),
  ...(['manifest', 'sbom', 'uki'] as const),
];

/** Root hash, command line and what a verifier pins; then the files. */
async function print(image: Image): Promise<void> {
  const manifest = await readJson<Manifest>(image.manifest);
  const sha384 = async (path: string) =>
    createHash('sha384')
      .update(await readFile(path))
      .digest('hex');
  const lines: [string, string][] = [
    ['root hash', image.rootHash],
    ['cmdline', image.cmdline],
    ['kernel', image.kernelVersion],
    ['firmware', `${manifest.firmware.package} ${manifest.firmware.version}`],
    ['', ''],
    ['a verifier pins', ''],
    ['  os_image_hash', manifest.osImageHash],
    ['  cmdline', `sha384 ${createHash('sha384').update(image.cmdline).digest('hex')}`],
    ['  initrd', `sha384 ${await sha384(image.initrd)}`],
    ['  kernel', `sha384 ${await sha384(image.kernel)}`],
    ['  firmware', `sha256 ${manifest.files[basename(image.firmware)]?.sha256 ?? ''}`],
    ['  program', `sha256 ${manifest.programs['/usr/bin/dstack-util'] ?? ''}`],
    ['', ''],
    ['files', image.dir],
  ];
  for (const [name, text] of lines) console.log(`${name.padEnd(16)} ${text}`.trimEnd());
  for (const name of FILES) {
    const path = image[name];
    if (path === undefined) continue;
    const { size, sha256 } = await describeFile(path);
    console.log(
      `  ${basename(path).slice(0, 20).padEnd(20)} ${`${(size / 1e6).toFixed(1)} MB`.padStart(9)}  sha256 ${sha256}`,
    );
  }
}

const program = npmScript('image', 'build the guest image; progress goes to stderr, the result to stdout')
  .addOption(
    new Option('--profile <name>', 'dev has the simulated TDX device and a shell')
      .choices(['dev', 'prod'])
      .default('dev'),
  )
  .option('--zfs', 'with the ZFS kernel modules (compiled once for each kernel)', false)
  .option('--mirror <url>', "base address of a Debian archive (default: what this host's apt uses)")
  .option('--util <path>', 'the dstack-util binary', join(projectRoot, 'dist/dstack-util'))
  .option('--sim <path>', 'the dstack-sim binary (dev only)', join(projectRoot, 'dist/dstack-sim'))
  .option('--json', 'print the result as JSON', false)
  .option('--uki', 'also one file for firmware boot, made by ukify', false)
  .option('--nts <hosts>', 'time servers with NTS, host[:port] with commas, on the measured command line')
  .option('--check', 'build twice and compare; names each file that differs', false)
  .action((flags: Flags) => main(flags));

await runScript(program);

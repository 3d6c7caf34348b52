/** `npm run image`: builds a guest image and says where it is. */
import { join } from 'node:path';
import chalk from 'chalk';
import { Command, Option } from 'commander';
import { exists, projectRoot, removeTree } from './lib/cache.ts';
import { ensureImage, type Image, type ImageOptions, type Profile, type ProgressEvent } from './lib/image.ts';
import { describeFile } from './lib/initrd.ts';
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
  const options: ImageOptions = { profile: flags.profile, zfs: flags.zfs, binaries, onProgress: report };
  if (flags.mirror) options.mirror = flags.mirror;
  const image = await ensureImage(options);
  if (flags.check) await compare(image, options);
  if (flags.json) console.log(JSON.stringify(image, null, 2));
  else await print(image);
}

async function compare(image: Image, options: ImageOptions): Promise<void> {
  const again = `-check-${process.pid}`;
  const second = await ensureImage({ ...options, again });
  for (const name of ['rootHash', 'rootSize', 'cmdline'] as const) {
    if (image[name] === second[name]) continue;
    throw new Error(
      `not reproducible: ${name} is ${image[name]} and ${second[name]}\n  hint: compare ${image.root} and ${second.root}`,
    );
  }
  await discardAgain(await loadTools(), options.profile, again);
  await removeTree(second.dir);
  console.error('two builds gave the same root hash');
}

async function print(image: Image): Promise<void> {
  console.log(`root hash  ${image.rootHash}`);
  console.log(`cmdline    ${image.cmdline}`);
  console.log(`version    ${image.kernelVersion}`);
  for (const name of ['kernel', 'initrd', 'root', 'manifest'] as const) {
    const { size } = await describeFile(image[name]);
    console.log(`${name.padEnd(10)} ${image[name]}  ${(size / 1e6).toFixed(1)} MB`);
  }
}

const program = new Command('image')
  .description('build the guest image; progress goes to stderr, the result to stdout')
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
  .option('--check', 'build packages and root twice and compare', false)
  .action((flags: Flags) => main(flags));

try {
  await program.parseAsync();
} catch (error) {
  console.error(`${chalk.red('error:')} ${(error as Error).message}`);
  process.exitCode = 1;
}

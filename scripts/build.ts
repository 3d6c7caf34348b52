/**
 * Compiles dist/dstack-util and dist/dstack-sim. The output depends on the commit only: relative paths, fixed output
 * names, no source maps, no timestamps; two builds of one commit are byte-identical.
 *
 * Run by Bun itself: `npm run build [-- util|sim]`.
 */
import { chmodSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { Argument } from 'commander';
import { $ } from 'zx';
import { packageVersion, revision, versionDefines } from './lib/revision.ts';
import { npmScript, runScript } from './lib/script.ts';
import { MIB, needSpace } from './lib/space.ts';

$.verbose = false;
const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const BINARIES = { util: 'bin/dstack-util.ts', sim: 'simulator/dstack-sim.ts' } as const;

/** Unix seconds of the commit; nothing outside a checkout, where src/version.ts has a default. */
async function buildTime(): Promise<string[]> {
  const time = await $({ nothrow: true })`git log -1 --format=%ct`;
  return time.exitCode === 0 ? ['--define', `DSTACK_BUILD_TIME=${time.stdout.trim()}`] : [];
}

async function compile(name: string, entry: string, rev: string): Promise<void> {
  const started = performance.now();
  // the base name of the output is part of the hash: build under the final name in a folder of its own
  const temp = `dist/.build-${process.pid}`;
  rmSync(temp, { recursive: true, force: true });
  mkdirSync(temp, { recursive: true });
  const out = `${temp}/${name}`;
  try {
    await $`${BUN} build --compile --minify --bytecode --format=esm --splitting --sourcemap=none --reject-unresolved \
      --no-compile-autoload-dotenv --no-compile-autoload-bunfig --compile-executable-path=${BUN} \
      ${versionDefines(packageVersion(), rev)} ${await buildTime()} \
      ${entry} --outfile ${out}`;
    chmodSync(out, 0o755);
    renameSync(out, `dist/${name}`);
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
  const size = (statSync(`dist/${name}`).size / 1e6).toFixed(1);
  console.error(`built dist/${name} ${size} MB in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/** A binary beside the one that it replaces. */
const ONE_BINARY = 130 * MIB;

async function build(names: readonly string[]): Promise<void> {
  const wanted = Object.entries(BINARIES).filter(([key]) => names.length === 0 || names.includes(key));
  needSpace('dist', wanted.length * ONE_BINARY, 'the binaries');
  const rev = await revision();
  for (const [key, entry] of wanted) await compile(`dstack-${key}`, entry, rev);
}

await runScript(
  npmScript('build', 'compile dist/dstack-util (util) and dist/dstack-sim (sim); without a name both')
    .addArgument(new Argument('[binaries...]', 'which ones').choices(Object.keys(BINARIES)))
    .action(build),
);

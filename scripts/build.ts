/**
 * Compiles dist/dstack-util and dist/dstack-sim. The output depends on the commit only: relative paths, fixed output
 * names, no source maps, no timestamps; two builds of one commit are byte-identical.
 *
 * Run by Bun itself: `npm run build [-- util|sim]`.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { $ } from 'zx';

$.verbose = false;
const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const BINARIES = { util: 'bin/dstack-util.ts', sim: 'simulator/dstack-sim.ts' } as const;

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };

/** `git:<20 hex digits>[-modified]`, or `unknown` outside a checkout. Only what goes into the binary counts as modified. */
async function revision(): Promise<string> {
  const head = await $({ nothrow: true })`git rev-parse --short=20 HEAD`;
  if (head.exitCode !== 0) return 'unknown';
  const changed = await $`git status --porcelain -- bin src simulator package.json package-lock.json scripts/build.ts`;
  return `git:${head.stdout.trim()}${changed.stdout.trim() === '' ? '' : '-modified'}`;
}

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
      --define ${`DSTACK_VERSION=${JSON.stringify(version)}`} --define ${`DSTACK_REVISION=${JSON.stringify(rev)}`} \
      ${await buildTime()} \
      ${entry} --outfile ${out}`;
    chmodSync(out, 0o755);
    renameSync(out, `dist/${name}`);
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
  const size = (statSync(`dist/${name}`).size / 1e6).toFixed(1);
  console.error(`built dist/${name} ${size} MB in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

const wanted = process.argv.slice(2);
const rev = await revision();
for (const [key, entry] of Object.entries(BINARIES)) {
  if (wanted.length > 0 && !wanted.includes(key)) continue;
  await compile(`dstack-${key}`, entry, rev);
}

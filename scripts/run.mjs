#!/usr/bin/env node
/**
 * Door to every npm script. Plain JavaScript without dependencies, because it runs on a machine that has only node and
 * npm: it installs the locked packages when they are missing or stale, then hands over to a TypeScript script run by the
 * Bun binary that the lock file pins. It never runs package install scripts.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const SCRIPTS = {
  start: 'initramfs/start.ts',
  test: 'scripts/test.ts',
  build: 'scripts/build.ts',
  image: 'initramfs/build.ts',
  simulator: 'scripts/simulator.ts',
  bench: 'bench/main.ts',
  fault: 'test/fault/main.ts',
  fuzz: 'test/fuzz/main.ts',
  docs: 'scripts/docs.ts',
  dist: 'scripts/dist.ts',
  'verify-page': 'scripts/verify-page.ts',
};
/** These build or boot a guest image: chroot, mounts, device nodes. */
const AS_ROOT = ['start', 'test', 'image', 'bench', 'fault'];
const PACKAGES = 'mmdebstrap debian-archive-keyring cryptsetup-bin e2fsprogs gdisk openssl parted';
const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
/** npm's own record of what it has installed, written at the end. */
const INSTALLED = 'node_modules/.package-lock.json';

/** What node_modules and the copies that npm makes on the way take. */
const PACKAGES_MIB = 450;
/** How npm names a registry that cannot be reached. */
const NO_NETWORK =
  /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|network (timeout|request)/i;

const stop = (message, status = 1) => {
  console.error(`error: ${message}`);
  process.exit(status);
};

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const [name, ...args] = process.argv.slice(2);
if (!Object.hasOwn(SCRIPTS, name ?? ''))
  stop(`usage: node scripts/run.mjs ${Object.keys(SCRIPTS).join('|')} [options]`, 2);
if (process.platform !== 'linux' || process.arch !== 'x64') {
  stop(`this project builds and runs on x86-64 Linux only, this machine is ${process.arch} ${process.platform}`);
}
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) stop(`Node 20.19 or later is needed, this is ${process.versions.node}`);

install();
run([...elevation(), BUN, SCRIPTS[name], ...args]);

/** Words in front of the command that make it root, where it has to be and is not. */
function elevation() {
  const help = args.includes('--help') || args.includes('-h');
  const quick = help || (name === 'test' && args.some((arg) => arg === '--no-vm' || /^--only(=|$)/.test(arg)));
  if (process.getuid() === 0 || !AS_ROOT.includes(name) || quick) return [];
  if (
    spawnSync('sudo', ['-n', 'true']).status === 0 ||
    (process.stdin.isTTY && spawnSync('sudo', ['-V']).status === 0)
  ) {
    console.error('building and booting a guest image needs root: continuing with sudo');
    return ['sudo', '--preserve-env=PATH,CI,NO_COLOR,TERM'];
  }
  return stop(
    `building and booting a guest image needs root (chroot, mounts, device nodes), and there is no sudo\n` +
      `  hint: run it as root; it then installs what is missing of: ${PACKAGES}`,
  );
}

/** Whether node_modules has exactly the packages of the lock file; optional ones may be of another platform. */
function isInstalled() {
  if (!existsSync(BUN) || !existsSync(INSTALLED)) return false;
  const read = (file) => Object.entries(JSON.parse(readFileSync(file, 'utf8')).packages ?? {});
  const there = new Map(read(INSTALLED).map(([path, { integrity }]) => [path, integrity]));
  const wanted = new Map(read('package-lock.json').filter(([path]) => path !== ''));
  for (const [path, integrity] of there) if (wanted.get(path)?.integrity !== integrity) return false;
  return [...wanted].every(([path, { optional }]) => optional || there.has(path));
}

/** `npm ci` unless node_modules was installed from exactly this lock file. */
function install() {
  if (isInstalled()) return;
  const { bavail, bsize } = statfsSync('.');
  const free = Math.floor((bavail * bsize) / 2 ** 20);
  if (free < PACKAGES_MIB) {
    stop(
      `not enough free space: the packages need about ${PACKAGES_MIB} MiB in ${process.cwd()}, ${free} MiB are free\n` +
        `  hint: make room there, or put the checkout on a larger disk`,
    );
  }
  console.error('installing the locked packages (npm ci) ...');
  const started = Date.now();
  const npmRun = (...words) =>
    spawnSync('npm', [...words, '--loglevel=error'], {
      stdio: ['ignore', 2, 'pipe'],
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
  // asked once: npm ci would try again for each package, for minutes. What npm has in its cache needs no network
  const reached = npmRun('ping', '--fetch-retries=1', '--fetch-retry-mintimeout=1000', '--fetch-timeout=20000');
  const offline = reached.status !== 0 && NO_NETWORK.test(reached.stderr ?? '');
  const npm = npmRun('ci', '--ignore-scripts', '--no-audit', '--no-fund', offline ? '--offline' : '--prefer-offline');
  if (npm.status !== 0) {
    const said = npm.stderr ?? '';
    if (/ENOSPC|no space left/i.test(said)) stop(`no space left on the disk: ${process.cwd()} has ${free} MiB free`);
    if (offline || NO_NETWORK.test(said)) {
      stop(
        'no network: cannot reach the npm registry, and the packages are not in its cache\n  hint: look at the network, the proxy settings and `npm config get registry`',
      );
    }
    const ended = npm.error?.message ?? `exit status ${npm.status}`;
    const lines = said.trim().split('\n').slice(-12);
    stop(`npm ci failed (${ended})${lines.map((line) => `\n  | ${line}`).join('')}`);
  }
  console.error(`installing the locked packages ... done, ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

/** Runs a script and ends as it ends; Ctrl-C reaches the script through the terminal, other signals are passed on. */
function run([file, ...rest]) {
  const child = spawn(file, rest, { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  process.on('SIGINT', () => {}); // the child gets it too and decides
  child.on('error', (failure) => stop(failure.message));
  child.on('exit', (status, signal) => {
    process.exitCode = status ?? (signal === 'SIGINT' ? 130 : 1);
  });
}

/**
 * The tools tree: a chroot with every program that the build and the runner use, so that a build on another host uses
 * the same versions. Programs run in a private mount namespace that disappears with them.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, isCached, keyOf, projectRoot, prune } from './cache.ts';
import { readList } from './lists.ts';
import { findMirror, hostAptOptions, suite } from './mirror.ts';
import { bootstrap } from './mmdebstrap.ts';
import type { Say } from './progress.ts';
import { type RunOptions, type RunResult, run } from './run.ts';

/** Where the tree keeps the package file of the ZFS source. */
export const debsDir = 'usr/src/dstack-debs';

export interface Tools {
  dir: string;
  key: string;
  /** The kernel that headers, modules and image share, such as `6.12.1+deb13-amd64`. */
  kernelVersion: string;
}

let current: Tools | undefined;

/** The key of the tree that the current lists describe. */
async function toolsKey(): Promise<string> {
  return keyOf('tools 2', suite, await readList('packages/tools.list'));
}

/** Whether the tree is there already. */
export async function haveTools(): Promise<boolean> {
  return isCached('tools', await toolsKey());
}

/**
 * Builds the tools tree unless it is cached. The ZFS source is downloaded in the apt session that installs the kernel
 * and its headers: all three come from one state of the archive.
 */
export async function ensureTools(options: { mirror?: string | undefined; say?: Say }): Promise<Tools> {
  const key = await toolsKey();
  const dir = await cached('tools', key, async (temp) => {
    const mirror = await findMirror(options.mirror);
    options.say?.(
      `packages from ${mirror.origin === 'default' ? "mmdebstrap's default mirror" : `the ${mirror.origin}`}`,
    );
    const download = [
      'set -e; cd "$1"',
      `mkdir -p ${debsDir}; chmod 755 ${debsDir}`,
      `chroot . sh -ec 'cd /${debsDir}; apt-get -q -o APT::Sandbox::User=root download zfs-dkms'`,
      'ls lib/modules > etc/dstack-kernel',
    ].join('\n');
    await bootstrap({
      target: join(temp, 'tree'),
      variant: 'apt',
      packages: await readList('packages/tools.list'),
      mirror,
      aptOptions: await hostAptOptions(),
      customize: [download],
      ...(options.say ? { say: options.say } : {}),
    });
  });
  const tree = join(dir, 'tree');
  const kernelVersion = (await readFile(join(tree, 'etc/dstack-kernel'), 'utf8')).trim();
  if (!/^\S+$/.test(kernelVersion)) throw new Error(`the tools tree has not exactly one kernel: ${kernelVersion}`);
  current = { dir: tree, key, kernelVersion };
  await prune('tools', 2);
  return current;
}

/** The tree in use; an error when `ensureTools` was not called and none is cached. */
export async function loadTools(): Promise<Tools> {
  if (current) return current;
  if (!(await haveTools())) throw new Error('no tools tree yet\n  hint: build the image first');
  return ensureTools({});
}

// Runs as `sh -c ENTER sh TREE CWD CHROOT_COMMAND...`. Every step is an exec: the process that was started is the
// tool itself in the end, so signals and exit status need no forwarding.
const enter = [
  'set -e',
  'tree=$1; cwd=$2; binds=$3; shift 3',
  'mount --rbind "$tree" "$tree"', // the new root must be a mount of its own, or mmdebstrap cannot make it private
  'mount --rbind /dev "$tree/dev"',
  'mount --rbind /proc "$tree/proc"',
  'mount --rbind /sys "$tree/sys"',
  'for file in /etc/resolv.conf /etc/hosts; do',
  '  [ ! -e $file ] || { [ -e "$tree$file" ] || : > "$tree$file"; mount --bind $file "$tree$file"; }',
  'done',
  'IFS=:',
  'for path in $binds; do mkdir -p "$tree$path"; mount --rbind "$path" "$tree$path"; done',
  'unset IFS',
  'exec chroot "$tree" /bin/sh -c \'cd "$1"; shift; exec "$@"\' sh "$cwd" "$@"',
].join('\n');

export interface ToolsOptions extends RunOptions {
  /** Further host folders to show at their own paths; the project and /tmp always are. */
  binds?: string[];
}

/**
 * The argv that runs a tool of the tree, for callers that spawn it themselves with pipes. The spawned process becomes
 * the tool (no wrapper stays between), and its mounts vanish with it. Call `ensureTools` or `loadTools` first.
 */
export function toolsArgv(argv: readonly string[], options: { cwd?: string; binds?: string[] } = {}): string[] {
  if (!current) throw new Error('toolsArgv: no tools tree loaded');
  const binds = ['/tmp', '/run', projectRoot, ...(options.binds ?? [])].filter(
    (path, i, all) => all.indexOf(path) === i,
  );
  const cwd = options.cwd ?? projectRoot;
  return [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-c',
    enter,
    'sh',
    current.dir,
    cwd,
    binds.join(':'),
    ...argv,
  ];
}

/** Runs a tool of the tree to its end. */
export async function runInTools(argv: readonly string[], options: ToolsOptions = {}): Promise<RunResult> {
  await loadTools();
  const { cwd, binds, ...rest } = options;
  const place = { ...(cwd === undefined ? {} : { cwd }), ...(binds === undefined ? {} : { binds }) };
  const script = argv[0] === 'sh' ? 'script' : argv.slice(0, 4).join(' ');
  return run(toolsArgv(argv, place), { title: `${script} in the tools tree`, ...rest });
}

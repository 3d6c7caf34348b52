/** One way to call mmdebstrap, on the host for the tools tree and from the tools tree for the root image. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheRoot } from './cache.ts';
import { type Mirror, suite } from './mirror.ts';
import { namingNetwork } from './no-network.ts';
import type { Say } from './progress.ts';
import { type RunOptions, type RunResult, run } from './run.ts';

/** The time stamp of everything in the image. */
export const sourceDateEpoch = 1_760_000_000;

/** Downloaded packages and indices stay here, so that a rebuild fetches only what changed. */
const debCache = join(cacheRoot, 'debs');
const listCache = join(cacheRoot, 'lists');

/** Files nobody reads in a machine without a login. */
export const excludedPaths = [
  'man',
  'doc',
  'locale',
  'info',
  'lintian',
  'bug',
  'doc-base',
  'bash-completion',
  'zsh',
  'fish',
].map((name) => `/usr/share/${name}/*`);

// apt's unprivileged download user cannot reach a tree below a private folder, and would warn about it.
const aptDefaults = ['APT::Install-Recommends "false"', 'APT::Sandbox::User "root"'];

export interface BootstrapOptions {
  target: string;
  /** `extract` only unpacks: for programs that need no set-up */
  variant: 'apt' | 'essential' | 'extract';
  packages: readonly string[];
  mirror: Mirror;
  /** Lines of apt configuration. */
  aptOptions?: readonly string[];
  /** Shell snippets run after the packages are set up (or unpacked); the tree is `$1`. */
  customize?: readonly string[];
  say?: Say;
  /** How to run it; on the host unless told otherwise. */
  runner?: (argv: readonly string[], options: RunOptions) => Promise<RunResult>;
}

/** Makes a tree from packages. Warnings are fatal: a missing helper makes mmdebstrap build a different tree and exit 0. */
export async function bootstrap(options: BootstrapOptions): Promise<void> {
  await mkdir(debCache, { recursive: true });
  await mkdir(listCache, { recursive: true });
  const archives = '/var/cache/apt/archives';
  const lists = '/var/lib/apt/lists';
  // nothing is set up in a tree that is only unpacked, so the later hooks do not run
  const last = options.variant === 'extract' ? '--extract-hook' : '--customize-hook';
  const argv = [
    'mmdebstrap',
    `--variant=${options.variant}`,
    '--mode=root',
    '--format=directory',
    '--architectures=amd64',
    '--components=main,contrib',
    ...[...aptDefaults, ...(options.aptOptions ?? [])].map((line) => `--aptopt=${line.replace(/;$/, '')}`),
    '--dpkgopt=force-unsafe-io', // a tree that is not complete is thrown away, so dpkg need not sync each file
    ...excludedPaths.map((path) => `--dpkgopt=path-exclude=${path}`),
    '--skip=download/empty,essential/unlink',
    `--setup-hook=mkdir -p "$1${archives}" "$1${lists}"`,
    `--setup-hook=sync-in ${debCache} ${archives}`,
    `--setup-hook=sync-in ${listCache} ${lists}`,
    `${last}=rm -f "$1${archives}/lock" "$1${lists}/lock"; rm -rf "$1${archives}/partial"/* "$1${lists}/partial"/*`,
    `${last}=sync-out ${archives} ${debCache}`,
    `${last}=sync-out ${lists} ${listCache}`,
    ...(options.customize ?? []).map((hook) => `${last}=${hook}`),
    `--include=${options.packages.join(',')}`,
    suite,
    options.target,
    ...options.mirror.sources,
  ];
  const runner = options.runner ?? run;
  const result = await runner(argv, {
    env: { SOURCE_DATE_EPOCH: String(sourceDateEpoch), TMPDIR: '/tmp' },
    onLine: (line) => {
      const stage = /^I: (.*)$/.exec(line)?.[1];
      if (stage && !/^(success|running (--|in)|automatically|chroot arch|using)/.test(stage)) options.say?.(stage);
    },
  }).catch((thrown: unknown) => {
    throw namingNetwork(thrown);
  });
  const warnings = result.stderr.split('\n').filter((line) => /^W:/.test(line));
  if (warnings.length > 0)
    throw new Error(`mmdebstrap warned, which means a different tree:\n  ${warnings.join('\n  ')}`);
}

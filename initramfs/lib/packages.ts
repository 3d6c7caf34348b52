/** The package layer of the root image: a tree made by mmdebstrap from the package lists of a profile. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, cacheRoot, isCached, keyOf, prune, removeTree } from './cache.ts';
import { readList } from './lists.ts';
import { findMirror, hostAptOptions } from './mirror.ts';
import { bootstrap } from './mmdebstrap.ts';
import type { Say } from './progress.ts';
import { runInTools, type Tools } from './tools.ts';

export type Profile = 'dev' | 'prod';

/** The package names of a profile. */
export async function packagesOf(profile: Profile): Promise<string[]> {
  const common = await readList('packages/common.list');
  const extra = await readList(`packages/${profile}.list`);
  const twice = extra.find((name) => common.includes(name));
  if (twice) throw new Error(`packages/${profile}.list: '${twice}' is in common.list already`);
  return [...common, ...extra];
}

// What an installation leaves behind that differs from run to run, or that a sealed image cannot use.
const clean = [
  'rm -rf boot/* etc/apt var/lib/apt usr/share/doc usr/share/man usr/share/info usr/share/locale',
  'rm -rf var/cache/ldconfig var/cache/debconf/* var/lib/systemd/* var/lib/dbus/machine-id',
  'rm -f etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid- etc/.pwd.lock var/lib/dpkg/*-old',
  // A random number by which ZFS would take the pool of another image for that of another machine.
  'rm -f etc/hostid',
  'find var/log -type f -delete; rm -rf run/* tmp/*',
  // Interpreters and data bases that only unused helpers of zfsutils-linux and udev ask for.
  'rm -rf usr/lib/python3* usr/share/python3 usr/bin/py3* usr/bin/python3* usr/lib/udev/hwdb.d usr/lib/udev/hwdb.bin',
  // Presets of the overlay decide what is enabled; nothing that a package enabled on its own stays.
  'find etc/systemd/system -mindepth 1 -delete',
  'rm -rf etc/rc?.d etc/init.d etc/cron.*',
  'chroot . dpkg-query -W > ../packages.txt',
].join('\n');

async function packagesKey(tools: Tools, profile: Profile): Promise<string> {
  return keyOf('packages 1', tools.key, await packagesOf(profile), clean);
}

/** Whether the package layer is there already. */
export async function havePackages(tools: Tools, profile: Profile, again = ''): Promise<boolean> {
  return isCached('packages', (await packagesKey(tools, profile)) + again);
}

export interface PackageLayer {
  /** The tree's root. */
  tree: string;
  key: string;
  /** `name<TAB>version` lines. */
  versions: string;
}

/** Installs the packages unless that is cached. `again` names a second build of the same, for comparing the two. */
export async function ensurePackages(
  tools: Tools,
  profile: Profile,
  options: { mirror?: string | undefined; say?: Say; again?: string },
): Promise<PackageLayer> {
  const key = (await packagesKey(tools, profile)) + (options.again ?? '');
  const dir = await cached('packages', key, async (temp) => {
    await bootstrap({
      target: join(temp, 'tree'),
      variant: 'essential',
      packages: await packagesOf(profile),
      mirror: await findMirror(options.mirror),
      aptOptions: await hostAptOptions(),
      runner: runInTools,
      ...(options.say ? { say: options.say } : {}),
    });
    await runInTools(['sh', '-ec', clean], { cwd: join(temp, 'tree') });
  });
  await prune('packages', 4);
  const versions = await readFile(join(dir, 'packages.txt'), 'utf8');
  return { tree: join(dir, 'tree'), key, versions };
}

/** Removes the package layer that was built a second time. */
export async function discardAgain(tools: Tools, profile: Profile, again: string): Promise<void> {
  await removeTree(join(cacheRoot, 'packages', (await packagesKey(tools, profile)) + again));
}

/** The ZFS kernel modules, built from Debian's own source for exactly the image's kernel. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, isCached, keyOf, prune } from './cache.ts';
import { buildPlace, leanMake } from './kbuild.ts';
import type { Say } from './progress.ts';
import { debsDir, runInTools, type Tools } from './tools.ts';

/** The package file of the ZFS source in the tools tree. */
async function sourceDeb(tools: Tools): Promise<string> {
  const name = (await readdir(join(tools.dir, debsDir))).find((file) => /^zfs-dkms_.*\.deb$/.test(file));
  if (!name) throw new Error('the tools tree has no zfs-dkms package\n  hint: remove .cache/tools and build again');
  return name;
}

async function zfsKey(tools: Tools): Promise<string> {
  return keyOf('zfs 2', tools.kernelVersion, await sourceDeb(tools));
}

/** Whether the modules for this kernel are there already. */
export async function haveZfs(tools: Tools): Promise<boolean> {
  return isCached('zfs', await zfsKey(tools));
}

/** Builds spl.ko and zfs.ko (minutes) unless cached; returns their folder. */
export async function ensureZfs(tools: Tools, say?: Say): Promise<string> {
  const deb = await sourceDeb(tools);
  const dir = await cached('zfs', await zfsKey(tools), async (temp) => {
    let compiled = 0;
    const script = [
      buildPlace,
      // configure compiles hundreds of little modules to see what the kernel can do
      leanMake,
      `dpkg-deb -x /${debsDir}/${deb} .`,
      'cd usr/src/zfs-*',
      'build=$(readlink -f /lib/modules/$KVER/build) source=$(readlink -f /lib/modules/$KVER/source)',
      'echo "stage configure"',
      './configure --with-config=kernel --with-linux="$source" --with-linux-obj="$build" >configure.out 2>&1 ||',
      '  { tail -30 configure.out >&2; exit 1; }',
      'echo "stage compile"',
      // A single goal: `make clean modules` in one call never ends with this build system.
      'make -j"$(nproc)"',
      'find module -name "*.ko" -exec strip --strip-debug {} + -exec cp -t "$OUT" {} +',
    ].join('\n');
    await runInTools(['sh', '-ec', script], {
      env: { KVER: tools.kernelVersion, OUT: temp, WORK: temp },
      onLine: (line) => {
        if (line.startsWith('stage ')) say?.(line.slice(6));
        else if (/^\s*CC \[M\]/.test(line) && ++compiled % 40 === 0) say?.(`compile, ${compiled} files`);
      },
    });
    const made = (await readdir(temp)).filter((name) => name.endsWith('.ko')).sort();
    if (made.join(' ') !== 'spl.ko zfs.ko')
      throw new Error(`the ZFS build made '${made.join(' ')}' instead of spl.ko and zfs.ko`);
  });
  await prune('zfs', 3);
  return dir;
}

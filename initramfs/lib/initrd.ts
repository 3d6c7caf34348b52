/** The initramfs: busybox, veritysetup with its libraries, a handful of modules and our init. */
import { chmod, copyFile, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashFile, keyOf, projectRoot, prune } from './cache.ts';
import { chooseModules, copyModules, type Kernel } from './kernel.ts';
import { moduleName } from './modules.ts';
import { runInTools, type Tools } from './tools.ts';

const applets = ['sh', 'mount', 'umount', 'mkdir', 'insmod', 'sleep', 'grep', 'switch_root'];

// Sorted names, one time stamp and numbered inodes make two archives equal.
const pack = [
  'find tree -exec touch -h -d @0 {} +',
  'cd tree',
  `find . -mindepth 1 -print0 | sort -z | cpio --null --quiet --create --format=newc --reproducible --owner=0:0 > ../archive`,
  // one thread: the output must not depend on the number of processors
  'cd ..; zstd -q -12 --single-thread --no-check archive -o initrd; rm -r tree archive',
].join('\n');

/** Builds the initramfs unless it is cached; returns the archive's path. `again` names a second build for comparison. */
export async function ensureInitrd(tools: Tools, kernel: Kernel, again = ''): Promise<string> {
  const init = join(projectRoot, 'initramfs/init');
  const first = await chooseModules(kernel, 'modules/initramfs.list');
  const more = (await chooseModules(kernel, 'modules/initramfs-more.list')).filter((path) => !first.includes(path));
  const key = keyOf('initrd 3', tools.key, kernel.key, first, more, await hashFile(init), applets, pack) + again;
  const dir = await cached('initrd', key, async (temp) => {
    const tree = join(temp, 'tree');
    for (const name of ['bin', 'sbin', 'dev', 'proc', 'sys', 'run', 'root', 'upper', 'lib/modules']) {
      await mkdir(join(tree, name), { recursive: true, mode: 0o755 });
    }
    await copyFile(init, join(tree, 'init'));
    await chmod(join(tree, 'init'), 0o755);
    const flat = join(temp, 'modules');
    await copyModules(kernel, [...first, ...more], flat);
    for (const [order, paths] of [
      ['order', first],
      ['more', more],
    ] as const) {
      for (const path of paths) {
        await copyFile(
          join(flat, path.replace(/\.(xz|zst)$/, '')),
          join(tree, 'lib/modules', `${moduleName(path)}.ko`),
        );
      }
      const names = paths.map((path) => `${moduleName(path)}.ko\n`);
      await writeFile(join(tree, 'lib/modules', order), names.join(''), { mode: 0o644 });
    }
    const programs = [
      'cp /bin/busybox tree/bin/busybox',
      `for applet in ${applets.join(' ')}; do ln -s busybox tree/bin/$applet; done`,
      'cp /usr/sbin/veritysetup tree/sbin/',
      "for lib in $(ldd /usr/sbin/veritysetup | grep -o '/[^ ]*'); do",
      '  mkdir -p "tree$(dirname "$lib")"; cp -L "$lib" "tree$lib"',
      'done',
      'rm -r modules',
      pack,
    ].join('\n');
    await runInTools(['sh', '-ec', programs], { cwd: temp });
  });
  await prune('initrd', 4);
  return join(dir, 'initrd');
}

/** Size and digest of an artefact, for the manifest. */
export async function describeFile(path: string): Promise<{ size: number; sha256: string }> {
  return { size: (await stat(path)).size, sha256: await hashFile(path) };
}

/** Reads a JSON document that the builder wrote. */
export async function readJson<T>(path: string): Promise<T> {
  return JSON.parse(await readFile(path, 'utf8')) as T;
}

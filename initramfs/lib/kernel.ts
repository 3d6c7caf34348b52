/** The kernel of the image: Debian's own, as the tools tree has it, and the modules chosen from it. */
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { cached, hashFile, hashTree, keyOf, prune } from './cache.ts';
import { readList } from './lists.ts';
import { moduleClosure, parseModulesDep } from './modules.ts';
import { runInTools, type Tools } from './tools.ts';

export interface Kernel {
  version: string;
  /** The boot image of the package, for firmware. */
  bzImage: string;
  /** The same kernel uncompressed, which starts faster under emulation. */
  vmlinux: string;
  /** The folder of all modules with modules.dep, still compressed. */
  modules: string;
  key: string;
}

/** Finds the compressed kernel inside a bzImage by its setup header (Documentation/arch/x86/boot.rst). */
export function bzImagePayload(image: Buffer): Buffer {
  if (image.length < 0x260 || image.toString('latin1', 0x202, 0x206) !== 'HdrS') throw new Error('not a bzImage');
  const setupSectors = image.readUInt8(0x1f1) || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  const length = image.readUInt32LE(0x24c);
  if (length === 0 || start + length > image.length) throw new Error('bzImage without a payload');
  return image.subarray(start, start + length);
}

/** The program that unpacks a payload, by its magic number. */
export function unpacker(payload: Buffer): string[] {
  const magic = payload.toString('hex', 0, 6);
  if (magic.startsWith('28b52ffd')) return ['zstd', '-dc'];
  if (magic.startsWith('fd377a585a00')) return ['xz', '-dc', '--single-stream'];
  if (magic.startsWith('1f8b')) return ['gzip', '-dc'];
  if (magic.startsWith('02214c18')) return ['lz4', '-dc'];
  throw new Error(`kernel compressed in an unknown way (magic ${magic})`);
}

/** Unpacks the kernel of the tools tree unless that was done before. */
export async function ensureKernel(tools: Tools): Promise<Kernel> {
  const version = tools.kernelVersion;
  const bzImage = join(tools.dir, 'boot', `vmlinuz-${version}`);
  const key = keyOf('kernel 2', version, await hashFile(bzImage));
  const dir = await cached('kernel', key, async (temp) => {
    const payload = bzImagePayload(await readFile(bzImage));
    await writeFile(join(temp, 'payload'), payload);
    // The kernel appends a word to the stream, about which the programs complain: what counts is what came out.
    await runInTools(['sh', '-ec', `${unpacker(payload).join(' ')} payload > vmlinux || true; rm payload`], {
      cwd: temp,
    });
    const vmlinux = await readFile(join(temp, 'vmlinux'));
    if (vmlinux.toString('latin1', 0, 4) !== '\x7fELF' || vmlinux.length !== payload.readUInt32LE(payload.length - 4)) {
      throw new Error('the kernel does not unpack to an ELF file of the size it says');
    }
  });
  await prune('kernel', 2);
  return { version, bzImage, vmlinux: join(dir, 'vmlinux'), modules: join(tools.dir, 'usr/lib/modules', version), key };
}

/** The module files for a list, by path below the kernel's module folder. */
export async function chooseModules(kernel: Kernel, list: string): Promise<string[]> {
  const deps = parseModulesDep(await readFile(join(kernel.modules, 'modules.dep'), 'utf8'));
  const builtin = await readFile(join(kernel.modules, 'modules.builtin'), 'utf8');
  return moduleClosure(await readList(list), deps, builtin);
}

/** Copies modules out of the package's tree and uncompresses them: the image has its own compression. */
export async function copyModules(kernel: Kernel, paths: readonly string[], target: string): Promise<void> {
  for (const path of paths) {
    await mkdir(join(target, dirname(path)), { recursive: true });
    await copyFile(join(kernel.modules, path), join(target, path));
  }
  const packed = (suffix: string) => paths.filter((path) => path.endsWith(suffix)).map((path) => join(target, path));
  for (const [suffix, command] of [
    ['.xz', ['xz', '-d']],
    ['.zst', ['zstd', '-q', '-d', '--rm']],
  ] as const) {
    const files = packed(suffix);
    if (files.length > 0) await runInTools([...command, '--', ...files]);
  }
}

/**
 * The layer with the modules of the root image: the listed ones and the given extra files, with a fresh modules.dep.
 * Returns the layer's root.
 */
export async function ensureModules(kernel: Kernel, extraDirs: readonly string[]): Promise<string> {
  const paths = await chooseModules(kernel, 'modules/image.list');
  const extras: string[] = [];
  for (const dir of extraDirs) {
    extras.push(...(await readdir(dir)).filter((name) => name.endsWith('.ko')).map((name) => join(dir, name)));
  }
  const extraHashes = await Promise.all(extraDirs.map(hashTree));
  const dir = await cached('modules', keyOf('modules 1', kernel.key, paths, extraHashes), async (temp) => {
    const target = join(temp, 'usr/lib/modules', kernel.version);
    await mkdir(join(target, 'updates'), { recursive: true });
    await copyModules(kernel, paths, target);
    for (const file of extras) await copyFile(file, join(target, 'updates', basename(file)));
    for (const name of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
      await copyFile(join(kernel.modules, name), join(target, name));
    }
    await runInTools(['depmod', '-b', temp, '-m', '/usr/lib/modules', kernel.version]);
  });
  await prune('modules', 6);
  return dir;
}

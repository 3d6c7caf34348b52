/**
 * A unified kernel image for firmware boot: kernel, initramfs and command line as one PE file, made by systemd's ukify.
 * ukify is Python and has a tree of its own, made only for those who ask for it; nothing is installed there, the packages
 * are unpacked. The stub inside takes no other command line than this one under Secure Boot.
 */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashFile, keyOf, prune } from './cache.ts';
import { readList } from './lists.ts';
import { findMirror, hostAptOptions, suite } from './mirror.ts';
import { bootstrap, sourceDateEpoch } from './mmdebstrap.ts';
import { holdsExactly, peSections } from './pe.ts';
import type { Say } from './progress.ts';
import { runInTools } from './tools.ts';

const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';
const OS_RELEASE = 'ID=dstack\nNAME=dstack\n';

/** The tree with ukify and with the firmware that a test starts the result with. */
export async function ensureUkiTree(mirror?: string, say?: Say): Promise<string> {
  const packages = await readList('packages/uki.list');
  const dir = await cached('uki-tree', keyOf('uki-tree 1', suite, packages), async (temp) => {
    say?.('unpacking systemd-ukify, once');
    await bootstrap({
      target: join(temp, 'tree'),
      variant: 'extract',
      packages,
      mirror: await findMirror(mirror),
      aptOptions: await hostAptOptions(),
      runner: runInTools,
      ...(say ? { say } : {}),
    });
  });
  await prune('uki-tree', 2);
  return join(dir, 'tree');
}

export interface UkiParts {
  /** the boot image of the kernel package: a PE file itself */
  readonly bzImage: string;
  readonly kernelVersion: string;
  /** the archive's path */
  readonly initrd: string;
  readonly cmdline: string;
  readonly mirror?: string | undefined;
  readonly say?: Say | undefined;
}

/** Builds the file, or finds it in the cache; the same parts give the same bytes. `again` names a second build. */
export async function ensureUki(parts: UkiParts, again = ''): Promise<string> {
  const { bzImage, kernelVersion, initrd, cmdline } = parts;
  const tree = await ensureUkiTree(parts.mirror, parts.say);
  const ukify = [
    ...['/usr/bin/python3', '-I', '/usr/bin/ukify', 'build', '--linux=/work/linux', '--initrd=/work/initrd'],
    ...['--cmdline=@/work/cmdline', '--os-release=@/work/os-release', `--uname=${kernelVersion}`],
    ...[`--stub=${STUB}`, '--efi-arch=x64', '--output=/work/image.efi'],
  ];
  const key = keyOf('uki 2', tree, ukify, cmdline, OS_RELEASE, await hashFile(bzImage), await hashFile(initrd)) + again;
  const dir = await cached('uki', key, async (temp) => {
    await copyFile(bzImage, join(temp, 'linux'));
    await copyFile(initrd, join(temp, 'initrd'));
    await writeFile(join(temp, 'cmdline'), cmdline);
    await writeFile(join(temp, 'os-release'), OS_RELEASE);
    const script = ['mkdir -p "$TREE/work"; mount --bind . "$TREE/work"', `chroot "$TREE" ${ukify.join(' ')} >&2`].join(
      '\n',
    );
    await runInTools(['sh', '-ec', script], {
      cwd: temp,
      env: { TREE: tree, SOURCE_DATE_EPOCH: String(sourceDateEpoch) },
    });
    await checkUki(join(temp, 'image.efi'), {
      '.linux': await readFile(join(temp, 'linux')),
      '.initrd': await readFile(join(temp, 'initrd')),
      '.cmdline': Buffer.from(cmdline),
      '.osrel': Buffer.from(OS_RELEASE),
      '.uname': Buffer.from(kernelVersion),
    });
    await runInTools(['rm', 'linux', 'initrd', 'cmdline', 'os-release'], { cwd: temp });
  });
  await prune('uki', 4);
  return join(dir, 'image.efi');
}

/** Throws unless each of these sections is there once and holds these bytes. */
export async function checkUki(file: string, parts: Readonly<Record<string, Uint8Array>>): Promise<void> {
  const sections = peSections(await readFile(file));
  for (const [name, bytes] of Object.entries(parts)) {
    const [section, another] = sections.filter((each) => each.name === name);
    if (section === undefined || another !== undefined || !holdsExactly(section, bytes))
      throw new Error(`the UKI does not hold exactly what was put into its section ${name}`);
  }
}

/**
 * A unified kernel image for firmware boot: kernel, initramfs and command line as one PE file, made by systemd's ukify.
 * ukify is Python and has a tree of its own, built only for those who ask for it. Only the command line inside counts:
 * the stub ignores another one when Secure Boot is on.
 */
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashFile, keyOf, prune } from './cache.ts';
import { findMirror, hostAptOptions, suite } from './mirror.ts';
import { bootstrap, sourceDateEpoch } from './mmdebstrap.ts';
import type { Say } from './progress.ts';
import { runInTools } from './tools.ts';

const PACKAGES = ['systemd-ukify', 'systemd-boot-efi'];
const STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';

async function ukifyTree(mirror: string | undefined, say?: Say): Promise<string> {
  const dir = await cached('ukify', keyOf('ukify 1', suite, PACKAGES), async (temp) => {
    say?.('installing systemd-ukify in a tree of its own, once');
    await bootstrap({
      target: join(temp, 'tree'),
      variant: 'essential',
      packages: PACKAGES,
      mirror: await findMirror(mirror),
      aptOptions: await hostAptOptions(),
      runner: runInTools,
      ...(say ? { say } : {}),
    });
  });
  await prune('ukify', 1);
  return join(dir, 'tree');
}

export interface UkiParts {
  /** the boot image of the kernel package: a PE file itself */
  readonly bzImage: string;
  readonly kernelVersion: string;
  readonly initrd: string;
  readonly cmdline: string;
  readonly mirror?: string | undefined;
  readonly say?: Say;
}

/** Builds the file, or finds it in the cache; the same parts give the same bytes. */
export async function ensureUki(parts: UkiParts): Promise<string> {
  const { bzImage, kernelVersion, initrd, cmdline } = parts;
  const tree = await ukifyTree(parts.mirror, parts.say);
  const key = keyOf('uki 1', tree, kernelVersion, cmdline, await hashFile(bzImage), await hashFile(initrd));
  const dir = await cached('uki', key, async (temp) => {
    await copyFile(bzImage, join(temp, 'linux'));
    await copyFile(initrd, join(temp, 'initrd'));
    await writeFile(join(temp, 'cmdline'), cmdline);
    await writeFile(join(temp, 'os-release'), 'ID=dstack\nNAME=dstack\n');
    const ukify = [
      ...['ukify', 'build', '--linux=linux', '--initrd=initrd', '--cmdline=@cmdline', '--os-release=@os-release'],
      ...[`--uname=${kernelVersion}`, `--stub=${STUB}`, '--efi-arch=x64', '--output=image.efi'],
    ];
    const script = [
      'mkdir -p "$TREE/work"; mount --bind . "$TREE/work"',
      `chroot "$TREE" sh -ec 'cd /work; exec ${ukify.join(' ')}' >&2`,
      'rm linux initrd cmdline os-release',
    ].join('\n');
    await runInTools(['sh', '-ec', script], {
      cwd: temp,
      env: { TREE: tree, SOURCE_DATE_EPOCH: String(sourceDateEpoch) },
    });
  });
  await prune('uki', 4);
  return join(dir, 'image.efi');
}

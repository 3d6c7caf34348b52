/** What the host must have before anything can be built: root and mmdebstrap, the rest comes from the tools tree. */
import { access } from 'node:fs/promises';
import { keyring } from './mirror.ts';
import type { Say } from './progress.ts';
import { run } from './run.ts';

interface Need {
  package: string;
  /** Any of these files shows that it is there. */
  files: string[];
}

const needs: Need[] = [
  { package: 'mmdebstrap', files: ['/usr/bin/mmdebstrap'] },
  { package: 'util-linux', files: ['/usr/bin/unshare', '/bin/unshare'] },
  { package: 'debian-archive-keyring', files: [keyring] },
];

/** The packages that are missing on this host. */
export async function missingPackages(): Promise<string[]> {
  const missing: string[] = [];
  for (const need of needs) {
    const found = await Promise.all(
      need.files.map((file) =>
        access(file)
          .then(() => true)
          .catch(() => false),
      ),
    );
    if (!found.includes(true)) missing.push(need.package);
  }
  return missing;
}

/** Makes sure that the host can build, installing what is missing where that is possible. */
export async function ensureHost(say: Say): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`cannot build the image on ${process.platform}/${process.arch}\n  hint: use Linux on x86-64`);
  }
  const isRoot = process.geteuid?.() === 0;
  const missing = await missingPackages();
  if (missing.length > 0) {
    const command = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing];
    say(`installing ${missing.join(', ')}`);
    const done = await run(isRoot ? command : ['sudo', '-n', ...command], { allowFailure: true }).catch(() => null);
    if (done?.exitCode !== 0 || (await missingPackages()).length > 0) {
      throw new Error(`missing on this host: ${missing.join(', ')}\n  hint: as root, run: ${command.join(' ')}`);
    }
  }
  if (!isRoot) {
    throw new Error('building the image needs root (chroot and mounts)\n  hint: run the same command with sudo');
  }
}

/** What the host must have before anything can be built: root and mmdebstrap, the rest comes from the tools tree. */
import { access } from 'node:fs/promises';
import { MIB, needSpace } from '../../scripts/lib/space.ts';
import { cacheRoot } from './cache.ts';
import { keyring } from './mirror.ts';
import type { Say } from './progress.ts';
import { run } from './run.ts';
import { haveTools } from './tools.ts';

/** A Debian package and the files that show that it is there (any of them). */
interface Need {
  readonly package: string;
  readonly files: readonly string[];
}

const sbin = (name: string): readonly string[] => [`/usr/sbin/${name}`, `/sbin/${name}`, `/usr/bin/${name}`];

export const BUILD: readonly Need[] = [
  { package: 'mmdebstrap', files: ['/usr/bin/mmdebstrap'] },
  { package: 'util-linux', files: ['/usr/bin/unshare', '/bin/unshare'] },
  { package: 'debian-archive-keyring', files: [keyring] },
];

/** What the unit tests drive for real, on image files and with real certificates. */
const TESTS: readonly Need[] = [
  { package: 'cryptsetup-bin', files: sbin('cryptsetup') },
  { package: 'e2fsprogs', files: sbin('mkfs.ext4') },
  { package: 'gdisk', files: sbin('sgdisk') },
  { package: 'openssl', files: ['/usr/bin/openssl'] },
  { package: 'parted', files: sbin('parted') },
];

/** What further tests need: where it cannot be had they are skipped and say why. */
const MORE_TESTS: readonly Need[] = [
  { package: 'chromium', files: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'] },
  { package: 'chrony', files: sbin('chronyd') },
  { package: 'curl', files: ['/usr/bin/curl'] },
  { package: 'docker-registry', files: ['/usr/bin/docker-registry'] },
  { package: 'iproute2', files: sbin('ip') },
  { package: 'iptables', files: sbin('iptables-restore') },
  // the library's own package has another name in each release of Debian
  { package: 'libsecp256k1-dev', files: [1, 2].map((abi) => `/usr/lib/x86_64-linux-gnu/libsecp256k1.so.${abi}`) },
  // with about a hundred Perl modules: 20 s, once on a machine
  { package: 'lintian', files: ['/usr/bin/lintian'] },
  { package: 'minisign', files: ['/usr/bin/minisign'] },
  { package: 'nftables', files: sbin('nft') },
  { package: 'systemd', files: ['/usr/bin/systemd-analyze'] },
  { package: 'wireguard-tools', files: ['/usr/bin/wg'] },
  { package: 'wireguard-go', files: ['/usr/bin/wireguard-go', '/usr/bin/wireguard'] },
];

/** Tools, packages, image and the copies that are made on the way; and what a machine writes. */
const FIRST_SPACE = 3072 * MIB;
/** With a tools tree in the cache: an image, a machine. */
const LATER_SPACE = 512 * MIB;

/** The packages that are missing on this host. */
export async function missingPackages(needs: readonly Need[] = BUILD): Promise<string[]> {
  const there = (file: string) =>
    access(file).then(
      () => true,
      () => false,
    );
  const missing: string[] = [];
  for (const need of needs) {
    if (!(await Promise.all(need.files.map(there))).includes(true)) missing.push(need.package);
  }
  return missing;
}

/** Makes sure that the host can build, installing what is missing where that is possible. */
export async function ensureHost(say: Say): Promise<void> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`cannot build the image on ${process.platform}/${process.arch}\n  hint: use Linux on x86-64`);
  }
  needSpace(cacheRoot, (await haveTools()) ? LATER_SPACE : FIRST_SPACE, 'the image and its machine');
  await install(BUILD, say);
  if (process.geteuid?.() !== 0) {
    throw new Error('building the image needs root (chroot and mounts)\n  hint: run the same command with sudo');
  }
}

/** Makes sure that the tests find the tools they drive. */
export async function ensureTestTools(say: Say): Promise<void> {
  await install(TESTS, say);
  await install(MORE_TESTS, say).catch((thrown: Error) => say(`${thrown.message}: some tests will be skipped`));
}

async function install(needs: readonly Need[], say: Say): Promise<void> {
  const missing = await missingPackages(needs);
  if (missing.length === 0) return;
  const sudo = process.geteuid?.() === 0 ? [] : ['sudo', '-n'];
  const command = ['apt-get', 'install', '-y', '--no-install-recommends', ...missing];
  say(`installing ${missing.join(', ')}`);
  const attempt = async (argv: readonly string[]) =>
    (await run([...sudo, ...argv], { allowFailure: true }).catch(() => null))?.exitCode === 0;
  // a fresh machine has no package lists, or lists that name packages which are gone
  if (!(await attempt(command))) {
    await attempt(['apt-get', 'update']);
    await attempt(command);
  }
  const left = await missingPackages(needs);
  if (left.length > 0) {
    throw new Error(
      `missing on this host: ${left.join(', ')}\n  hint: as root, run: apt-get update && ${command.join(' ')}`,
    );
  }
}

/**
 * The Debian package: the tree of the archive as dpkg wants it. It changes nothing about the machine that it is unpacked
 * on: units are disabled, and what would change other services or the kernel lies below `IMAGE_PART` until the builder of
 * an image copies it into place.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { $ } from 'zx';
import { debianChangelog, debianCopyright } from './deb-texts.ts';
import type { Lock } from './sbom.ts';

export interface DebVersion {
  readonly upstream: string;
  readonly modified: boolean;
}

export interface DebInput {
  /** the packed tree, which is only read */
  readonly tree: string;
  /** folder for the package and for what it is made from */
  readonly temp: string;
  readonly version: DebVersion;
  /** Unix seconds; the time of every file */
  readonly epoch: number;
  readonly lock: Lock;
}

/** Where the package keeps what only an image wants, as it lies below the root of an image. */
export const IMAGE_PART = 'usr/share/dstack-util/image';
const ONLY_AN_IMAGE = [
  'usr/lib/systemd/system/docker.service.d',
  'usr/lib/systemd/system/containerd.service.d',
  'usr/lib/systemd/system-preset',
  'usr/lib/sysctl.d',
  'usr/lib/modules-load.d',
];
const DOC = 'usr/share/doc/dstack-util';

/** What the boot drives, by the packages of Debian; libc6 is the only one without which the program does not start. */
const RECOMMENDS = [
  'ca-certificates',
  'chrony',
  'containerd | containerd.io',
  'cryptsetup-bin',
  'docker.io | docker-ce',
  'docker-cli | docker.io | docker-ce-cli',
  'docker-compose | docker-compose-plugin',
  'e2fsprogs',
  'gdisk',
  'iproute2',
  'iptables',
  'kmod',
  'libsecp256k1-2 | libsecp256k1-1',
  'mount',
  'nftables',
  'parted',
  'wireguard-tools',
];
// in Debian's section contrib, which a package of main must not recommend
const SUGGESTS = ['zfsutils-linux'];

/** A changed tree sorts before the version that it may become, so that the real one replaces it. */
export const debVersion = ({ upstream, modified }: DebVersion): string => `${upstream}${modified ? '~modified' : ''}-1`;

export const hasDpkgDeb = (): boolean => spawnSync('dpkg-deb', ['--version'], { stdio: 'ignore' }).status === 0;

/** Who answers for the package, as Debian's tools take it from the environment; else an address that leads nowhere. */
export function maintainer(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const { DEBFULLNAME = 'The builders of this package', DEBEMAIL = 'nobody@localhost' } = env;
  return `${DEBFULLNAME} <${DEBEMAIL}>`;
}

/**
 * Builds the package in `temp`. The same tree, version and epoch give the same bytes.
 * @returns its file name
 */
export async function makeDeb({ tree, temp, version, epoch, lock }: DebInput): Promise<string> {
  const root = join(temp, 'deb');
  rmSync(root, { recursive: true, force: true });
  cpSync(tree, root, { recursive: true, verbatimSymlinks: true });
  for (const path of ONLY_AN_IMAGE) {
    mkdirSync(dirname(join(root, IMAGE_PART, path)), { recursive: true });
    renameSync(join(root, path), join(root, IMAGE_PART, path));
  }
  const put = (path: string, content: string | Uint8Array, mode = 0o644): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
    chmodSync(join(root, path), mode);
  };
  const packed = (text: string | Uint8Array): Uint8Array => gzipSync(text, { level: 9 });
  const name = debVersion(version);
  rmSync(join(root, DOC, 'LICENSE'));
  put(`${DOC}/copyright`, debianCopyright(lock));
  put(`${DOC}/changelog.gz`, packed(readFileSync(join(root, DOC, 'CHANGELOG.md'))));
  rmSync(join(root, DOC, 'CHANGELOG.md'));
  put(`${DOC}/changelog.Debian.gz`, packed(debianChangelog(name, maintainer(), epoch)));
  put('usr/share/lintian/overrides/dstack-util', readFileSync('packaging/debian/lintian-overrides'));

  const units = readdirSync(join(root, 'usr/lib/systemd/system')).toSorted();
  for (const script of ['postinst', 'prerm', 'postrm']) {
    const text = readFileSync(`packaging/debian/${script}`, 'utf8').replace('@UNITS@', units.join(' '));
    put(`DEBIAN/${script}`, text, 0o755);
  }
  put('DEBIAN/control', control(name, installedSize(root)));
  put('DEBIAN/md5sums', await md5sums(root));

  await $`chmod -R u=rwX,go=rX ${root}`;
  // dpkg-deb lowers later times to the epoch; earlier ones would stay
  await $`find ${root} -exec touch --no-dereference --date=@${epoch} {} +`;
  const file = `dstack-util_${name}_amd64.deb`;
  // gzip: any dpkg reads it, and the program hardly gets smaller by what takes ten times as long
  await $({
    env: { ...process.env, SOURCE_DATE_EPOCH: String(epoch) },
  })`dpkg-deb --build --root-owner-group -Zgzip -z6 \
    ${root} ${join(temp, file)}`;
  rmSync(root, { recursive: true });
  return file;
}

function control(version: string, kibibytes: number): string {
  return `${[
    'Package: dstack-util',
    `Version: ${version}`,
    'Architecture: amd64',
    `Maintainer: ${maintainer()}`,
    `Installed-Size: ${kibibytes}`,
    // the runtime inside was built against this version, see the versions of its symbols
    'Depends: libc6 (>= 2.17)',
    `Recommends: ${RECOMMENDS.join(', ')}`,
    `Suggests: ${SUGGESTS.join(', ')}`,
    'Section: admin',
    'Priority: optional',
    'Description: boot toolchain and guest agent of a confidential VM',
    ' One program takes an Intel TDX virtual machine from the mounted root to a',
    ' running application: it prepares the system, measures the application into',
    ' RTMR3, gets its keys, opens the encrypted data disk, starts the containers and',
    ' then serves keys and quotes to them. It also judges the evidence of such a',
    ' machine, on any machine.',
    ' .',
    ' Installing it enables and starts nothing. What an image needs besides lies in',
    ` /${IMAGE_PART} and is copied by its builder.`,
  ].join('\n')}\n`;
}

/** Everything that is unpacked, folders and links included. */
const contents = (root: string): string[] =>
  readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((path) => !path.startsWith('DEBIAN'))
    .toSorted();

/** KiB as Debian counts them: each file rounded up, one for everything else. */
function installedSize(root: string): number {
  return contents(root).reduce((sum, path) => {
    const info = lstatSync(join(root, path));
    return sum + (info.isFile() ? Math.ceil(info.size / 1024) : 1);
  }, 0);
}

async function md5sums(root: string): Promise<string> {
  const files = contents(root).filter((path) => lstatSync(join(root, path)).isFile());
  return (await $({ cwd: root })`md5sum ${files}`).stdout;
}

/**
 * The TDX firmware of Debian's packages that the vectors were made with: taken with apt into the cache of the repository,
 * at the version and with the SHA-256 that the vectors name. What cannot be had is a reason, which the tests show.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, cacheRoot } from '../../initramfs/lib/cache.ts';
import { findMirror, hostAptOptions, suite } from '../../initramfs/lib/mirror.ts';
import { run } from '../../initramfs/lib/run.ts';

interface DebianFirmware {
  readonly suite: string;
  readonly package: string;
  readonly version: string;
  /** inside the package */
  readonly file: string;
  readonly sha256: string;
}

export const FIRMWARE = {
  stable: {
    suite,
    package: 'ovmf',
    version: '2025.02-8+deb13u1',
    file: 'usr/share/ovmf/OVMF.fd',
    sha256: '14954040cc754ade0c625ac3470ea46d4c14318b5b1396de4ef77090203d76db',
  },
  unstable: {
    suite: 'sid',
    package: 'ovmf-inteltdx',
    version: '2026.08+ds-2',
    file: 'usr/share/ovmf/OVMF.inteltdx.ms.fd',
    sha256: 'a265075b4147a096109e501e76196df1ec8a18659c26f7401492c597ec88f312',
  },
} as const satisfies Record<string, DebianFirmware>;

/** The bytes, or why they cannot be had. */
export async function debianFirmware(name: keyof typeof FIRMWARE): Promise<Uint8Array | string> {
  const wanted: DebianFirmware = FIRMWARE[name];
  const found = ofImageBuilder(wanted);
  if (found !== undefined) return found;
  try {
    const dir = await cached('test-firmware', wanted.sha256.slice(0, 16), (temp) => fetchInto(temp, wanted));
    return new Uint8Array(readFileSync(join(dir, 'firmware.fd')));
  } catch (thrown) {
    return `${wanted.package} ${wanted.version} cannot be had: ${(thrown as Error).message.split('\n')[0]}`;
  }
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** What the image builder unpacked, when it is the same. */
function ofImageBuilder(wanted: DebianFirmware): Uint8Array | undefined {
  const root = join(cacheRoot, 'firmware');
  for (const key of existsSync(root) ? readdirSync(root) : []) {
    const path = join(root, key, 'ovmf.fd');
    if (!existsSync(path)) continue;
    const bytes = new Uint8Array(readFileSync(path));
    if (sha256(bytes) === wanted.sha256) return bytes;
  }
  return undefined;
}

/** Lists and packages stay apart from those of the host's own apt. */
async function fetchInto(dir: string, wanted: DebianFirmware): Promise<void> {
  const { sources } = await findMirror();
  const main = sources.find((line) => line.includes(` ${suite} `));
  if (main === undefined) throw new Error('apt of this host names no archive of Debian');
  for (const folder of ['lists/partial', 'cache/archives/partial']) await mkdir(join(dir, folder), { recursive: true });
  await writeFile(join(dir, 'sources.list'), `${main.replace(` ${suite} `, ` ${wanted.suite} `)}\n`);
  const settings = [
    ...(await hostAptOptions()),
    `Dir::Etc::sourcelist "${join(dir, 'sources.list')}";`,
    'Dir::Etc::sourceparts "/dev/null";',
    `Dir::State::lists "${join(dir, 'lists')}";`,
    `Dir::Cache "${join(dir, 'cache')}";`,
    'APT::Architecture "amd64";',
    'APT::Sandbox::User "root";',
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    'Acquire::http::Timeout "20";',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
    'Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";',
  ];
  await writeFile(join(dir, 'apt.conf'), `${settings.join('\n')}\n`);
  const env = { APT_CONFIG: join(dir, 'apt.conf') };
  await run(['apt-get', 'update', '-qq'], { cwd: dir, env, timeoutMs: 120_000 });
  await run(['apt-get', 'download', '-qq', `${wanted.package}=${wanted.version}`], {
    cwd: dir,
    env,
    timeoutMs: 120_000,
  });
  const archive = readdirSync(dir).find((file) => file.endsWith('.deb'));
  if (archive === undefined) throw new Error('apt downloaded nothing');
  await run(['dpkg-deb', '-x', archive, 'tree'], { cwd: dir });
  const path = join(dir, 'tree', wanted.file);
  const found = sha256(new Uint8Array(readFileSync(path)));
  if (found !== wanted.sha256) throw new Error(`its ${wanted.file} has SHA-256 ${found}`);
  await rename(path, join(dir, 'firmware.fd'));
  for (const rest of ['tree', 'lists', 'cache', archive]) await run(['rm', '-rf', rest], { cwd: dir });
}

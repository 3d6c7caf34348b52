/** The Debian package: built twice, judged by lintian, installed, upgraded and purged by dpkg in a root of its own. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { debVersion, hasDpkgDeb, IMAGE_PART, maintainer, makeDeb } from '../../packaging/deb.ts';
import type { Lock } from '../../packaging/sbom.ts';
import { makeTree, packagePreset } from '../../packaging/tree.ts';

const has = (program: string) => spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined;
const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
const EPOCH = 1_700_000_000;
const BUILT = 'dist/dstack-util';

const run = (program: string, ...args: string[]) => {
  const done = spawnSync(program, args, {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  });
  return { status: done.status, text: `${done.stdout}${done.stderr}` };
};

describe.skipIf(!hasDpkgDeb())('the Debian package', { timeout: 120_000 }, () => {
  let dir: string;
  let tree: string;
  const build = async (folder: string, upstream = '1.2.3', modified = false): Promise<string> => {
    const temp = join(dir, folder);
    mkdirSync(temp, { recursive: true });
    return join(temp, await makeDeb({ tree, temp, version: { upstream, modified }, epoch: EPOCH, lock }));
  };
  let deb: string;
  const field = (name: string) => run('dpkg-deb', '--field', deb, name).text.trim();

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'deb-'));
    tree = join(dir, 'tree');
    writeFileSync(join(dir, 'binary'), '#!/bin/sh\necho ran\n');
    await makeTree({ root: tree, binary: join(dir, 'binary'), version: '1.2.3', date: '2026-01-02' });
    deb = await build('first');
  }, 120_000);
  afterAll(() => rmSync(dir, { recursive: true }));

  it('has the same bytes when it is built again', async () => {
    expect(readFileSync(await build('second')).equals(readFileSync(deb))).toBe(true);
  });

  it('is named by version and architecture, and a changed tree is older than the version it may become', () => {
    expect(deb).toMatch(/\/dstack-util_1\.2\.3-1_amd64\.deb$/);
    expect(field('Version')).toBe('1.2.3-1');
    const modified = debVersion({ upstream: '1.2.3', modified: true });
    for (const [left, than, right] of [
      [modified, 'lt', '1.2.3-1'],
      [modified, 'gt', '1.2.2-1'],
    ] as const)
      expect(run('dpkg', '--compare-versions', left, than, right).status, `${left} ${than} ${right}`).toBe(0);
  });

  it('names who builds it as Debian’s tools do, and makes up no address', () => {
    expect(maintainer({ DEBFULLNAME: 'A Builder', DEBEMAIL: 'builder@there' })).toBe('A Builder <builder@there>');
    expect(maintainer({})).toMatch(/@localhost>$/);
  });

  it('needs, recommends or suggests every package of the image but those that each Debian system has', () => {
    const list = readFileSync('initramfs/packages/common.list', 'utf8').split('\n');
    const base = [
      'systemd',
      'systemd-sysv',
      'systemd-resolved',
      'dbus',
      'udev',
      'bash',
      'util-linux',
      'procps',
      'netbase',
    ];
    const named = ['Depends', 'Recommends', 'Suggests']
      .map(field)
      .join(', ')
      .split(/,? [|]? ?|, /);
    const wanted = list.filter((line) => line !== '' && !line.startsWith('#') && !base.includes(line));
    expect(wanted.filter((name) => !named.includes(name))).toEqual([]);
  });

  it('keeps out of their places the files that change other services, the kernel, or what is enabled', () => {
    const files = run('dpkg-deb', '--fsys-tarfile', deb);
    expect(files.status).toBe(0);
    const paths = run('dpkg-deb', '--contents', deb).text.split('\n');
    const names = paths.map((line) => line.split(' ./')[1] ?? '').filter((name) => !name.endsWith('/'));
    const image = names.filter((name) => name.startsWith(IMAGE_PART)).map((name) => name.slice(IMAGE_PART.length + 1));
    expect(image.toSorted()).toEqual([
      'usr/lib/modules-load.d/dstack.conf',
      'usr/lib/sysctl.d/90-dstack.conf',
      'usr/lib/systemd/system-preset/10-dstack.preset',
      'usr/lib/systemd/system/containerd.service.d/10-dstack.conf',
      'usr/lib/systemd/system/docker.service.d/10-dstack.conf',
    ]);
    expect(names.filter((name) => image.includes(name))).toEqual([]);
    expect(paths.every((line) => line === '' || line.includes(' root/root '))).toBe(true);
  });

  it('has what the archive has, documentation as Debian wants it, and checksums', async () => {
    const root = join(dir, 'unpacked');
    expect(run('dpkg-deb', '--raw-extract', deb, root).status).toBe(0);
    for (const path of readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
      if (!lstatSync(join(tree, path)).isFile() || /\/(LICENSE|CHANGELOG\.md)$/.test(path)) continue;
      const there = [path, join(IMAGE_PART, path)].find((it) => existsSync(join(root, it)));
      expect(there, path).toBeDefined();
      expect(readFileSync(join(root, there!)).equals(readFileSync(join(tree, path)))).toBe(true);
    }
    const doc = join(root, 'usr/share/doc/dstack-util');
    expect(gunzipSync(readFileSync(join(doc, 'changelog.gz'))).toString()).toBe(readFileSync('CHANGELOG.md', 'utf8'));
    expect(gunzipSync(readFileSync(join(doc, 'changelog.Debian.gz'))).toString()).toMatch(
      /^dstack-util \(1\.2\.3-1\) .*\n -- .*<nobody@localhost> {2}Tue, 14 Nov 2023 22:13:20 \+0000\n$/s,
    );
    const copyright = readFileSync(join(doc, 'copyright'), 'utf8');
    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      dependencies: Record<string, string>;
    };
    for (const [name, version] of Object.entries(dependencies)) expect(copyright).toContain(`  ${name} ${version} `);
    expect(spawnSync('md5sum', ['--check', '--quiet', 'DEBIAN/md5sums'], { cwd: root }).status).toBe(0);
  });

  it.skipIf(process.getuid?.() !== 0 || !has('systemctl'))(
    'installs with every unit disabled, upgrades, and leaves nothing behind when it is purged',
    async () => {
      const root = join(dir, 'root');
      for (const folder of [
        'var/lib/dpkg/info',
        'var/lib/dpkg/updates',
        'etc/systemd/system/sockets.target.wants',
        'dstack',
      ])
        mkdirSync(join(root, folder), { recursive: true });
      const libc =
        'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: x <x@localhost>\nVersion: 2.99\nDescription: x\n';
      writeFileSync(join(root, 'var/lib/dpkg/status'), libc);
      writeFileSync(join(root, 'dstack/app-compose.json'), '{}');
      symlinkSync(
        '/usr/lib/systemd/system/other.socket',
        join(root, 'etc/systemd/system/sockets.target.wants/other.socket'),
      );
      const dpkg = (...args: string[]) =>
        run('dpkg', `--root=${root}`, '--force-script-chrootless', '--log=/dev/null', ...args);
      const state = (unit: string) => run('systemctl', `--root=${root}`, 'is-enabled', unit).text.trim();
      const links = () =>
        readdirSync(join(root, 'etc'), { recursive: true, encoding: 'utf8' }).filter((path) => path.includes('dstack'));

      const installed = dpkg('--install', deb);
      expect(installed.status, installed.text).toBe(0);
      const units = readdirSync(join(root, 'usr/lib/systemd/system')).filter((name) => !name.endsWith('.d'));
      expect(units.length).toBeGreaterThan(7);
      const startable = units.filter((name) =>
        readFileSync(join(root, 'usr/lib/systemd/system', name), 'utf8').includes('[Install]'),
      );
      for (const unit of startable) expect(state(unit), unit).toBe('disabled');
      expect(links()).toEqual([]);
      expect(run(join(root, 'usr/bin/dstack-guest-agent')).text).toBe('ran\n');

      // what its builder enables stays enabled over an upgrade
      expect(
        run('systemctl', `--root=${root}`, 'enable', 'dstack-prepare.service', 'dstack-guest-agent.socket').status,
      ).toBe(0);
      const upgraded = dpkg('--install', await build('later', '1.2.4'));
      expect(upgraded.status, upgraded.text).toBe(0);
      expect(state('dstack-prepare.service')).toBe('enabled');
      expect(run('dpkg-query', `--admindir=${root}/var/lib/dpkg`, '-s', 'dstack-util').text).toContain(
        '\nVersion: 1.2.4-1\n',
      );

      const purged = dpkg('--purge', 'dstack-util');
      expect(purged.status, purged.text).toBe(0);
      expect(purged.text).not.toMatch(/not empty|warning: (?!files list file for package 'libc6')/i);
      const left = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
        (path) => !path.startsWith('var/lib/dpkg') && !lstatSync(join(root, path)).isDirectory(),
      );
      expect(left.toSorted()).toEqual([
        'dstack/app-compose.json',
        'etc/systemd/system/sockets.target.wants/other.socket',
      ]);
      expect(existsSync(join(root, 'usr'))).toBe(false);
      expect(readdirSync(join(root, 'var/lib/dpkg/info')).filter((name) => name.startsWith('dstack'))).toEqual([]);
    },
    120_000,
  );

  it.skipIf(!has('lintian') || !existsSync(BUILT))(
    'has no fault that lintian knows, with the compiled program in it',
    async () => {
      const real = { root: join(dir, 'real'), binary: BUILT, version: '1.2.3', date: '2026-01-02' };
      await makeTree(real);
      const temp = join(dir, 'lintian');
      mkdirSync(temp);
      const version = { upstream: '1.2.3', modified: false };
      const file = await makeDeb({ tree: real.root, temp, version, epoch: EPOCH, lock });
      const done = run('lintian', '--allow-root', '--tag-display-limit', '0', join(temp, file));
      // with the overrides this is also what lintian's exit status says
      expect(done.text.split('\n').filter((line) => /^[EW]:/.test(line))).toEqual([]);
      expect(done.status, done.text).toBe(0);
    },
    600_000,
  );

  it('is enabled by the command of its page as the preset of the archive enables it', () => {
    const page = readFileSync('docs/image-builders.md', 'utf8');
    expect(page).toContain(`\ncp -r /${IMAGE_PART}/. /\n`);
    const named = /\nsystemctl preset ([^`]+)/.exec(page)?.[1]?.split(/[\s\\]+/) ?? [];
    const preset = packagePreset().match(/(?<=^enable ).+$/gm) ?? [];
    expect(named.filter(Boolean).toSorted()).toEqual([...preset].toSorted());
  });

  it('gives a reason for each override', () => {
    const lines = readFileSync('packaging/debian/lintian-overrides', 'utf8').split('\n');
    expect(lines[0]).toMatch(/^# /);
    expect(lines.filter((line) => line.startsWith('dstack-util: ')).length).toBeGreaterThan(5);
  });
});

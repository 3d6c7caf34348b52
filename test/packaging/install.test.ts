/** The packed tree and its installer, with a small file in place of the binary. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTree, OVERLAY, PRESET, packagePreset } from '../../packaging/tree.ts';

let dir: string;
let packed: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'install-'));
  packed = join(dir, 'packed');
  mkdirSync(packed);
  writeFileSync(join(dir, 'binary'), '#!/bin/sh\necho ran\n');
  await makeTree({ root: join(packed, 'tree'), binary: join(dir, 'binary'), version: '1.2.3', date: '2026-01-02' });
  writeFileSync(join(packed, 'VERSION'), '1.2.3\n');
  cpSync('packaging/install.sh', join(packed, 'install.sh'));
  const files = readdirSync(packed, { recursive: true, encoding: 'utf8' }).filter((it) =>
    lstatSync(join(packed, it)).isFile(),
  );
  const sum = (path: string) =>
    createHash('sha256')
      .update(readFileSync(join(packed, path)))
      .digest('hex');
  writeFileSync(join(packed, 'SHA256SUMS'), files.map((path) => `${sum(path)}  ${path}\n`).join(''));
  execFileSync('chmod', ['-R', 'u=rwX,go=rX', packed]);
}, 120_000);
afterAll(() => rmSync(dir, { recursive: true }));

const install = (...args: string[]) => spawnSync(join(packed, 'install.sh'), args, { encoding: 'utf8' });
const newRoot = (): string => mkdtempSync(join(dir, 'root '));

describe('the packed tree', () => {
  it('holds every unit that the image has, as it is', () => {
    const units = 'usr/lib/systemd/system';
    const ours = readdirSync(join(OVERLAY, units)).filter(
      (name) => name.includes('.service') || name.endsWith('.socket'),
    );
    for (const name of ours.filter((it) => !it.endsWith('.d')))
      expect(readFileSync(join(packed, 'tree', units, name), 'utf8')).toBe(
        readFileSync(join(OVERLAY, units, name), 'utf8'),
      );
  });

  it('sends who asks for a unit to the page of the command that it starts', () => {
    const units = join(packed, 'tree/usr/lib/systemd/system');
    for (const name of readdirSync(units).filter((it) => !it.endsWith('.d'))) {
      const text = readFileSync(join(units, name), 'utf8');
      const pages = /^Documentation=(.*)$/m.exec(text)?.[1]?.split(' ') ?? [];
      expect(pages, name).not.toEqual([]);
      const started = [...text.matchAll(/^ExecStart=\S*\/(dstack-guest-agent|dstack-util ([a-z-]+))/gm)];
      for (const [, program, command] of started)
        expect(pages, name).toContain(`man:${command === undefined ? program : `dstack-util-${command}`}(1)`);
      for (const page of pages.filter((it) => it.includes('dstack')))
        expect(existsSync(join(packed, 'tree/usr/share/man/man1', `${page.slice(4, -3)}.1.gz`)), page).toBe(true);
    }
  });

  it('holds all files of the mkosi configuration that its page tells people to copy', () => {
    const files = readdirSync('docs/mkosi', { recursive: true, encoding: 'utf8' }).filter((it) =>
      lstatSync(join('docs/mkosi', it)).isFile(),
    );
    expect(files).toContain('mkosi.extra/usr/lib/systemd/system-preset/20-image.preset');
    for (const file of files)
      expect(readFileSync(join(packed, 'tree/usr/share/doc/dstack-util/mkosi', file))).toEqual(
        readFileSync(join('docs/mkosi', file)),
      );
  });

  it('puts each completion where the shell of the distribution looks for it', () => {
    for (const path of [
      'bash-completion/completions/dstack-util',
      'zsh/vendor-completions/_dstack-util',
      'fish/vendor_completions.d/dstack-util.fish',
    ])
      expect(statSync(join(packed, 'tree/usr/share', path)).size).toBeGreaterThan(1000);
  });

  it('enables each unit with an install section that the image enables, and decides about nothing else', () => {
    const lines = packagePreset()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    const image = readFileSync(join(OVERLAY, PRESET), 'utf8').split('\n');
    const installable = readdirSync(join(packed, 'tree/usr/lib/systemd/system'))
      .filter((name) => !name.endsWith('.d'))
      .filter((name) => readFileSync(join(packed, 'tree/usr/lib/systemd/system', name), 'utf8').includes('[Install]'));
    expect(lines.toSorted()).toEqual(
      installable
        .map((name) => `enable ${name}`)
        .filter((it) => image.includes(it))
        .toSorted(),
    );
    expect(lines.length).toBeGreaterThan(3);
    expect(lines.join()).not.toContain('disable');
  });

  it('packs manual pages without a time stamp', () => {
    const page = readFileSync(join(packed, 'tree/usr/share/man/man1/dstack-util.1.gz'));
    expect(page.subarray(4, 8)).toEqual(Buffer.alloc(4));
    expect(gunzipSync(page).toString()).toContain('dstack-util 1.2.3');
  });
});

describe('install.sh', { timeout: 120_000 }, () => {
  it('installs below a root, twice, with modes and the second name', () => {
    const root = newRoot();
    for (let run = 0; run < 2; run++) {
      const done = install('--root', root, '--no-preset');
      expect(done.stderr).toBe('');
      expect(done.status).toBe(0);
    }
    expect(statSync(join(root, 'usr/bin/dstack-util')).mode & 0o777).toBe(0o755);
    expect(statSync(join(root, 'usr/lib/systemd/system/dstack-prepare.service')).mode & 0o777).toBe(0o644);
    expect(readlinkSync(join(root, 'usr/bin/dstack-guest-agent'))).toBe('dstack-util');
    expect(execFileSync(join(root, 'usr/bin/dstack-guest-agent'), { encoding: 'utf8' })).toBe('ran\n');
    expect(readdirSync(join(root, 'usr/bin'))).toEqual(['dstack-guest-agent', 'dstack-util']);
  });

  it('enables the units by the preset where systemctl is', () => {
    const root = newRoot();
    const done = install(`--root=${root}`);
    expect(done.status).toBe(0);
    if (spawnSync('systemctl', ['--version']).status !== 0) expect(done.stderr).toContain('no systemctl');
    else
      expect(
        lstatSync(join(root, 'etc/systemd/system/multi-user.target.wants/dstack-prepare.service')).isSymbolicLink(),
      ).toBe(true);
  });

  it('changes nothing on --dry-run', () => {
    const root = newRoot();
    const done = install('--root', root, '--dry-run');
    expect(done.status).toBe(0);
    expect(done.stdout).toContain(join(root, 'usr/bin/dstack-util\n'));
    expect(readdirSync(root)).toEqual([]);
  });

  it('installs nothing from a damaged archive', () => {
    const unit = join(packed, 'tree/usr/lib/systemd/system/dstack-prepare.service');
    const before = readFileSync(unit);
    chmodSync(unit, 0o644);
    writeFileSync(unit, `${before}#`);
    const root = newRoot();
    const done = install('--root', root);
    writeFileSync(unit, before);
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('damaged');
    expect(readdirSync(root)).toEqual([]);
  });

  it('removes what an earlier version installed and this one has not, and nothing else', () => {
    const root = newRoot();
    expect(install('--root', root, '--no-preset').status).toBe(0);
    const list = join(root, 'usr/share/dstack-util/installed-files');
    const old = ['usr/lib/old-only/dropped.conf', 'usr/lib/systemd/system/dstack-dropped.service'];
    for (const path of [...old, 'usr/lib/other.conf', 'outside.conf']) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), '');
    }
    writeFileSync(list, `${readFileSync(list, 'utf8')}${old.join('\n')}\nusr/../outside.conf\noutside.conf\n`);
    expect(install('--root', root, '--dry-run').stdout).toContain(`remove ${join(root, old[0]!)}\n`);
    expect(existsSync(join(root, old[0]!))).toBe(true);
    expect(install('--root', root, '--no-preset').status).toBe(0);
    expect(old.filter((path) => existsSync(join(root, path)))).toEqual([]);
    expect(existsSync(join(root, 'usr/lib/old-only'))).toBe(false);
    for (const path of ['usr/lib/other.conf', 'outside.conf', 'usr/bin/dstack-util', 'usr/lib/systemd/system'])
      expect(existsSync(join(root, path))).toBe(true);
  });

  it('uninstalls everything that it installed, enabled units included, and leaves what is not its own', () => {
    const root = newRoot();
    mkdirSync(join(root, 'usr/lib/systemd/system'), { recursive: true });
    writeFileSync(join(root, 'usr/lib/systemd/system/other.service'), '[Unit]\n');
    expect(install('--root', root).status).toBe(0);
    expect(install('--root', root, '--uninstall', '--dry-run').stdout).toContain(join(root, 'usr/bin/dstack-util\n'));
    expect(existsSync(join(root, 'usr/bin/dstack-util'))).toBe(true);
    const done = install('--root', root, '--uninstall');
    expect(done).toMatchObject({ status: 0, stderr: '', stdout: `removed dstack-util from ${root}\n` });
    const left = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
      (path) => !lstatSync(join(root, path)).isDirectory(),
    );
    expect(left).toEqual(['usr/lib/systemd/system/other.service']);
    expect(install('--root', root, '--uninstall').status).toBe(0);
  });

  it('keeps its hands off an installation that dpkg knows', () => {
    const root = newRoot();
    mkdirSync(join(root, 'var/lib/dpkg/info'), { recursive: true });
    writeFileSync(join(root, 'var/lib/dpkg/info/dstack-util.list'), '/usr/bin/dstack-util\n');
    for (const more of [['--no-preset'], ['--uninstall']]) {
      const done = install('--root', root, ...more);
      expect(done.status).toBe(1);
      expect(done.stderr).toContain('as a Debian package');
    }
    expect(readdirSync(root)).toEqual(['var']);
  });

  it.each(['--help', '-h'])('%s is an answer, not an error', (word) => {
    expect(install(word)).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('--uninstall') });
  });

  it('refuses a missing root, a root that is not a folder, and unknown options', () => {
    expect(install().status).toBe(2);
    expect(install('--root', join(dir, 'nowhere')).status).toBe(2);
    expect(install('--root', newRoot(), '--force').status).toBe(2);
  });
});

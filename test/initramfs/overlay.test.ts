import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { projectRoot } from '../../initramfs/lib/cache.ts';
import { kernelCmdline } from '../../initramfs/lib/cmdline.ts';
import { ensureImage } from '../../initramfs/lib/image.ts';
import { parseList, readList } from '../../initramfs/lib/lists.ts';
import { packagesOf } from '../../initramfs/lib/packages.ts';
import { overlayDirs, presetLines } from '../../initramfs/lib/rootfs.ts';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { PATHS } from '../../src/config/paths.ts';
import { timeServers } from '../../src/config/time-servers.ts';

async function textsOf(dir: string): Promise<Map<string, string>> {
  const files = await readdir(dir, { recursive: true, withFileTypes: true });
  const texts = new Map<string, string>();
  for (const file of files.filter((entry) => entry.isFile())) {
    const path = join(file.parentPath, file.name);
    texts.set(path.slice(dir.length), await readFile(path, 'utf8'));
  }
  return texts;
}

async function unitsOf(profile: 'dev' | 'prod'): Promise<Map<string, string>> {
  const trees = await Promise.all(overlayDirs(profile).map(textsOf));
  return new Map(trees.flatMap((tree) => [...tree].filter(([path]) => path.includes('/systemd/system/'))));
}

describe('what is left out of a root', () => {
  it('is named by plain paths inside it', async () => {
    for (const path of await readList('removed.list')) {
      expect(path).toMatch(/^(usr|var|etc)\/[\w./+-]+[^/]$/);
      expect(path).not.toContain('..');
    }
  });
});

describe('presets', () => {
  it.each(['dev', 'prod'] as const)('of %s end with `disable *`', async (profile) => {
    const lines = await presetLines(profile);
    expect(lines.at(-1)).toBe('disable *');
    expect(lines.filter((line) => line.includes('*'))).toHaveLength(1);
  });

  it.each(['dev', 'prod'] as const)('of %s enable every unit of ours that can be enabled', async (profile) => {
    const enabled = (await presetLines(profile)).map((line) => line.split(' ')[1]);
    for (const [path, text] of await unitsOf(profile)) {
      if (text.includes('[Install]')) expect(enabled).toContain(path.slice(path.lastIndexOf('/') + 1));
    }
  });
});

describe('the prod profile', () => {
  it('has no simulator, no shell and no login', async () => {
    for (const dir of overlayDirs('prod')) {
      for (const [path, text] of await textsOf(dir))
        expect(`${path}\n${text}`).not.toMatch(/tdx.sim|dstack-sim|dev-shell|getty/);
    }
    expect(await packagesOf('prod')).not.toContain('socat');
    expect(kernelCmdline('prod', 'a'.repeat(64), 4096)).not.toMatch(/mitigations|nokaslr|lsm=|cryptomgr/);
  });

  it('has no data base of packages', async () => {
    expect(await readList('removed.list')).toContain('var/lib/dpkg');
  });

  it('refuses a simulator binary before it does anything', async () => {
    const options = { profile: 'prod' as const, zfs: false, binaries: { util: '/nonexistent', sim: '/nonexistent' } };
    await expect(ensureImage(options)).rejects.toThrow(/prod image cannot contain the simulator/);
  });

  it('decides about a restart when it cannot prepare, dev does not', async () => {
    const of = async (profile: 'dev' | 'prod') => [...(await unitsOf(profile)).values()].join('\n');
    expect(await of('prod')).toMatch(/^OnFailure=dstack-boot-failed.service$/m);
    expect(await of('dev')).not.toMatch(/^OnFailure=dstack/m);
    // an unconditional restart would go on for ever
    expect(await of('prod')).not.toMatch(/^FailureAction=/m);
  });
});

describe('the command line', () => {
  it('names time servers for chrony, which follows nothing else', async () => {
    const cmdline = kernelCmdline('prod', 'a'.repeat(64), 4096, undefined, 'nts.example,b.example:4461');
    expect(timeServers(parseCmdline(cmdline)).map(({ name }) => name)).toEqual(['nts.example', 'b.example']);
    expect(() => kernelCmdline('prod', 'a'.repeat(64), 4096, undefined, '192.0.2.1 init=/bin/sh')).toThrow(/DNS names/);
    const conf = await readFile('initramfs/overlay/common/etc/chrony/chrony.conf', 'utf8');
    const lines = conf.split('\n').filter((line) => !line.startsWith('#'));
    expect(lines).toEqual(expect.arrayContaining([`sourcedir ${PATHS.chronySources}`, 'authselectmode require']));
    expect(lines.filter((line) => /^(server|pool|peer|confdir|sourcedir) /.test(line))).toHaveLength(1);
  });
});

describe('units', () => {
  it('wait for events, not for time', async () => {
    for (const text of [...(await unitsOf('dev')).values()])
      expect(text).not.toMatch(/^Exec.*\b(sleep|while|until)\b/m);
  });

  it('never let the environment of the application reach the runtime of the binary', async () => {
    for (const [path, text] of await unitsOf('prod')) {
      if (/^ExecStart=\/usr\/bin\/dstack-/m.test(text))
        expect(text, path).toMatch(/^UnsetEnvironment=BUN_OPTIONS BUN_BE_BUN /m);
    }
  });

  it('give the agent its sockets in the agreed order', async () => {
    const text = (await unitsOf('prod')).get('/usr/lib/systemd/system/dstack-guest-agent.socket');
    expect(text?.match(/^ListenStream=.*$/gm)).toEqual([
      'ListenStream=/run/dstack.sock',
      'ListenStream=/run/tappd.sock',
    ]);
  });

  it('mask no unit that is enabled', async () => {
    const masked = (await readList('masked.list')).map((entry) => entry.split('/').at(-1));
    for (const line of await presetLines('dev'))
      if (line.startsWith('enable')) expect(masked).not.toContain(line.split(' ')[1]);
  });
});

describe('lists', () => {
  it('refuse repeated and broken entries', () => {
    expect(parseList('a # why\n\n# b\nc\n', 'x')).toEqual(['a', 'c']);
    expect(() => parseList('a\na\n', 'x')).toThrow(/listed twice/);
    expect(() => parseList('a b\n', 'x')).toThrow(/more than one word/);
  });

  it('name the packages the boot needs', async () => {
    for (const profile of ['dev', 'prod'] as const) {
      expect(await packagesOf(profile)).toEqual(
        expect.arrayContaining(['cryptsetup-bin', 'docker.io', 'wireguard-tools']),
      );
    }
  });
});

describe('init', () => {
  const init = join(projectRoot, 'initramfs/init');

  it('is valid POSIX shell', () => {
    execFileSync('sh', ['-n', init]);
  });

  it('has no way around the root hash', async () => {
    const text = await readFile(init, 'utf8');
    expect(text).toMatch(/^set -eu$/m);
    expect(text).toMatch(/veritysetup open .* \|\| die/);
    expect(text).not.toMatch(/\bexec sh\b|\/bin\/sh\s*$/);
    expect(text.indexOf('veritysetup open')).toBeLessThan(text.indexOf('mount -t squashfs'));
  });
});

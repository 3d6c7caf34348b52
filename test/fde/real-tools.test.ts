/** The real cryptsetup, sgdisk and parted on image files: no device-mapper and no loop device is needed for these. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDataPartition } from '../../src/fde/create-partition.ts';
import { growPartition } from '../../src/fde/grow.ts';
import { formatLuks } from '../../src/fde/luks.ts';
import { readMarks, writeMarks } from '../../src/fde/marks.ts';
import { checkHeader } from '../../src/fde/status.ts';
import type { Surface } from '../../src/fde/surface.ts';
import { installed, run } from '../../src/sys/exec.ts';
import { FakeMachine } from './fake-machine.ts';

const KEY = new Uint8Array(32).fill(7);
const PASSPHRASE = '07'.repeat(32);

const missing = async (...programs: Parameters<typeof installed>[0][]): Promise<string | undefined> => {
  for (const program of programs) if (!(await installed(program))) return program;
  return undefined;
};
const noCryptsetup = await missing('cryptsetup');
const noPartitionTools = await missing('sgdisk', 'parted');

let dir: string;
beforeAll(async () => {
  dir = await fs.mkdtemp(join(tmpdir(), 'real-'));
});
afterAll(() => fs.rm(dir, { recursive: true }));

async function image(mib: number): Promise<string> {
  const path = join(dir, `${Math.random()}.img`);
  await fs.writeFile(path, '');
  await fs.truncate(path, mib * 1024 * 1024);
  return path;
}

const cryptsetup = (args: string[], input = PASSPHRASE): void => {
  execFileSync('/usr/sbin/cryptsetup', args, { input, stdio: ['pipe', 'ignore', 'ignore'] });
};

describe.skipIf(noCryptsetup)('cryptsetup (skipped where it is not installed)', () => {
  it('formats a header that the check accepts, with the hex text of the key', async () => {
    const path = await image(24);
    await formatLuks(path, KEY);
    expect(await checkHeader(path)).toMatchObject({ headerSize: 16_384, keyslotOffset: 32_768, iterations: 1000 });
    cryptsetup(['open', '--test-passphrase', '--key-file=-', path]);
    expect(() => cryptsetup(['open', '--test-passphrase', '--key-file=-', path], 'x')).toThrow();
    // a backup is what is checked before opening
    const backup = join(dir, 'backup');
    cryptsetup(['luksHeaderBackup', '--header-backup-file', backup, path]);
    expect((await checkHeader(backup)).uuid).toBe((await checkHeader(path)).uuid);
  });

  const changes: [string, string[], RegExp][] = [
    ['a label', ['config', '--label', 'x'], /label/],
    ['a slot priority', ['config', '--priority', 'prefer', '--key-slot', '0'], /priority/],
    ['a token', ['token', 'add', '--key-description', 'x'], /tokens\.0/],
  ];
  it.each(changes)('a header changed by hand is rejected: %s', async (_, args, field) => {
    const path = await image(24);
    await formatLuks(path, KEY);
    cryptsetup([...args, path]);
    await expect(checkHeader(path)).rejects.toMatchObject({
      code: 'LUKS_HEADER_REJECTED',
      field: expect.stringMatching(field),
    });
  });

  it('a second key slot is rejected', async () => {
    const path = await image(24);
    await formatLuks(path, KEY);
    const second = join(dir, 'second');
    await fs.writeFile(second, 'known to the host');
    cryptsetup(['luksAddKey', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--key-file=-', path, second]);
    await expect(checkHeader(path)).rejects.toMatchObject({ field: 'copy 0 keyslots.1' });
  });

  const formats: [string, string[], string][] = [
    ['LUKS1', ['--type', 'luks1'], 'copy 0 version'],
    [
      'sectors of 4096',
      ['--type', 'luks2', '--sector-size', '4096', '--offset', '32768'],
      'copy 0 segments.0.sector_size',
    ],
    [
      'another payload offset',
      ['--type', 'luks2', '--sector-size', '512', '--offset', '65536'],
      'copy 0 segments.0.offset',
    ],
    [
      'another cipher',
      ['--type', 'luks2', '--cipher', 'aes-cbc-essiv:sha256', '--offset', '32768'],
      'copy 0 keyslots.0.',
    ],
  ];
  it.each(formats)('a volume of another kind is rejected: %s', async (_, args, field) => {
    const path = await image(48);
    const fast = ['--pbkdf-force-iterations', '1000', ...(args.includes('luks1') ? [] : ['--pbkdf', 'pbkdf2'])];
    cryptsetup(['luksFormat', '--batch-mode', ...args, ...fast, '--key-file=-', path]);
    await expect(checkHeader(path)).rejects.toMatchObject({ field: expect.stringContaining(field) });
  });
});

describe.skipIf(noPartitionTools)('sgdisk and parted (skipped where they are not installed)', () => {
  /** A fake kernel around the real tools: `vdb` is an image file. */
  async function machine(mib: number): Promise<{ surface: Surface; fake: FakeMachine; disk: string }> {
    const fake = await FakeMachine.create();
    const disk = await fake.addDisk('vdb', mib);
    const surface: Surface = {
      sysfs: fake.sysfs,
      dev: fake.dev,
      isBlockDevice: (path) => fake.isBlockDevice(path),
      mounts: () => fake.mounts(),
      swaps: () => fake.swaps(),
      run: async (program, args, options) => {
        // the fake keeps its own books, so that sysfs shows what the kernel would
        await fake.run(program, args, options);
        return program === 'sgdisk' || program === 'parted'
          ? run(program, args, options)
          : fake.run(program, args, options);
      },
    };
    return { surface, fake, disk };
  }

  it('makes the partition, keeps the marks and survives growth', async () => {
    const { surface, fake, disk } = await machine(64);
    try {
      const part = await createDataPartition(disk, surface);
      expect(part).toBe(fake.path('vdb1'));
      expect(await readMarks(part, surface)).toEqual({ initialising: true, ephemeral: false });
      await writeMarks(part, { initialising: false, ephemeral: true }, surface);
      expect(await readMarks(part, surface)).toEqual({ initialising: false, ephemeral: true });

      await fake.resizeDisk('vdb', 96);
      expect(await growPartition(part, surface)).toBe(true);
      expect(await readMarks(part, surface)).toEqual({ initialising: false, ephemeral: true });
      const { stdout } = await run('sgdisk', ['-i', '1', disk], {});
      expect(stdout).toContain('First sector: 2048 ');
      expect(Number(/Partition size: (\d+) sectors/.exec(stdout)?.[1])).toBeGreaterThan((94 * 1024 * 1024) / 512);
      expect(stdout).toContain("Partition name: 'dstack-data'");
      expect((await run('sgdisk', ['-v', disk], {})).stdout).toContain('No problems found');
    } finally {
      await fake.destroy();
    }
  });
});

/** The real cryptsetup, sgdisk and parted on image files: no device-mapper and no loop device is needed for these. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDataPartition } from '../../src/fde/create-partition.ts';
import { type DiskMachine, realDiskMachine } from '../../src/fde/disk-machine.ts';
import { growPartition } from '../../src/fde/grow.ts';
import { createLuks } from '../../src/fde/luks.ts';
import { MARK_AT, readMark, writeMark } from '../../src/fde/marks.ts';
import { checkHeader } from '../../src/fde/status.ts';
import { installed, run } from '../../src/sys/exec.ts';
import { FakeDiskMachine } from './fake-disk-machine.ts';

const KEY = new Uint8Array(32).fill(7);
const PASSPHRASE = '07'.repeat(32);

const missing = async (...programs: Parameters<typeof installed>[0][]): Promise<string | undefined> => {
  for (const program of programs) if (!(await installed(program))) return program;
  return undefined;
};
const noCryptsetup = await missing('cryptsetup');
const SGDISK = '/usr/sbin/sgdisk';
const noPartitionTools = existsSync(SGDISK) && existsSync('/usr/sbin/parted') ? undefined : 'sgdisk, parted';

let dir: string;
beforeAll(async () => {
  dir = await fs.mkdtemp(join(tmpdir(), 'real-'));
});
afterAll(() => fs.rm(dir, { recursive: true }));

/** The real machine without a device-mapper: what needs one or a mount is left out. */
const FILES_ONLY: DiskMachine = {
  ...realDiskMachine,
  isBlockDevice: async () => true,
  run: async (program, args, options) =>
    program === 'cryptsetup' && args[0] === 'luksFormat'
      ? run(program, args, options)
      : { exit: 0, stdout: '', stderr: '' },
};
const UUID = '37230443-192d-49f8-98c1-9964a91f8a1f';
const formatLuks = (path: string, key: Uint8Array) => createLuks(path, key, UUID, FILES_ONLY);

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
  it('formats a header that the check accepts, with the hex text of the key, and spares the mark', async () => {
    const path = await image(24);
    const mark = { initialising: true, ephemeral: false, uuid: UUID };
    await writeMark(path, true, mark, realDiskMachine);
    await formatLuks(path, KEY);
    expect(await readMark(path, true, realDiskMachine)).toEqual(mark);
    expect(MARK_AT).toBe(16 * 1024 * 1024 - 4096);
    expect(await checkHeader(path)).toMatchObject({
      uuid: UUID,
      headerSize: 16_384,
      keyslotOffset: 32_768,
      iterations: 1000,
    });
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
    const wide = ['--sector-size', '512', '--offset', '32768', '--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000'];
    cryptsetup(['luksFormat', '--batch-mode', '--type', 'luks2', ...wide, '--key-file=-', path]);
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
  const sgdisk = (...args: string[]): string => execFileSync(SGDISK, args, { encoding: 'utf8' });
  const parted = (...args: string[]): string =>
    execFileSync('/usr/sbin/parted', ['--script', ...args], { encoding: 'utf8' });

  it('take the table that is made and grown here, marks stay', async () => {
    const fake = await FakeDiskMachine.create();
    try {
      const disk = await fake.addDisk('vdb', 64);
      const part = await createDataPartition(disk, fake);
      expect(part).toBe(fake.path('vdb1'));
      expect(sgdisk('-v', disk)).toContain('No problems found');
      expect(parted(disk, 'unit', 's', 'print')).toMatch(/ 1 +2048s +\d+s +\d+s +dstack-data/);
      const mark = { initialising: false, ephemeral: true, uuid: UUID };
      await writeMark(part, true, mark, fake);

      for (const mib of [96, 128]) {
        await fake.resizeDisk('vdb', mib);
        expect(await growPartition(part, fake)).toBe(true);
        expect(await readMark(part, true, fake)).toEqual(mark);
        await fake.restart(); // what the kernel sees comes from the disk
        expect(sgdisk('-v', disk)).toContain('No problems found');
        const info = sgdisk('-i', '1', disk);
        expect(info).toContain('First sector: 2048 ');
        expect(info).toContain('Linux filesystem');
        expect(Number(/Partition size: (\d+) sectors/.exec(info)?.[1])).toBe(((mib - 2) * 1024 * 1024) / 512);
        expect(info).toContain("Partition name: 'dstack-data'");
        expect(parted(disk, 'unit', 's', 'print')).toContain('dstack-data');
      }
    } finally {
      await fake.destroy();
    }
  });

  it('make a table that is grown here: one of sgdisk, as the reference makes it', async () => {
    const fake = await FakeDiskMachine.create();
    try {
      const disk = await fake.addDisk('vdb', 64);
      sgdisk('-n', '1:1MiB:0', '-c', '1:dstack-data', '-t', '1:8300', disk);
      await fake.run('blockdev', ['--rereadpt', disk]);
      await fake.resizeDisk('vdb', 80);
      expect(await growPartition(fake.path('vdb1'), fake)).toBe(true);
      await fake.restart();
      expect(sgdisk('-v', disk)).toContain('No problems found');
      // and back: the reference moves and enlarges what was written here
      await fake.resizeDisk('vdb', 96);
      sgdisk('-e', disk);
      parted(disk, 'resizepart', '1', '100%');
      expect(sgdisk('-v', disk)).toContain('No problems found');
      await fake.restart();
      expect((await fake.read(`${fake.sysfs}/class/block/vdb1/size`, 0, 20)).length).toBeGreaterThan(4);
    } finally {
      await fake.destroy();
    }
  });
});

/** Superblocks that a power cut tore, and others that are wrong, given to the real e2fsprogs as image files. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { deviceContent } from '../../src/fde/content.ts';
import { type DiskMachine, realDiskMachine } from '../../src/fde/disk-machine.ts';
import { mountExt4 } from '../../src/fde/ext4.ts';
import { tornSuperblock } from '../../src/fde/ext4-superblock.ts';
import { run } from '../../src/sys/exec.ts';
import { poke } from './fake-disk-machine.ts';

const AT = 1024;
const HALF = 512;
const SBIN = '/usr/sbin';
const TOOLS = ['mkfs.ext4', 'e2fsck', 'resize2fs', 'debugfs'].map((name) => `${SBIN}/${name}`);
const OLD = 'o'.repeat(4096);
const NEW = 'n'.repeat(4096);

let dir: string;
let count = 0;
beforeAll(async () => {
  dir = await fs.mkdtemp(join(tmpdir(), 'ext4-'));
});
afterAll(() => fs.rm(dir, { recursive: true }));

/** Everything but the mount is real. */
const FILES: DiskMachine = {
  ...realDiskMachine,
  run: (program, args, options) =>
    program === 'mount' ? Promise.resolve({ exit: 0, stdout: '', stderr: '' }) : run(program, args, options),
};
const mount = (path: string, machine = FILES) => mountExt4(path, join(dir, 'm'), machine);

const tool = (name: string, ...args: string[]): string =>
  execFileSync(join(SBIN, name), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
const debugfs = (path: string, command: string): string => tool('debugfs', '-w', '-R', command, path);
/** What e2fsck says about a copy, without our help. */
async function checked(path: string): Promise<number | null> {
  const copy = await copyOf(path);
  return spawnSync(join(SBIN, 'e2fsck'), ['-f', '-p', copy], { stdio: 'ignore' }).status;
}

async function copyOf(path: string): Promise<string> {
  const copy = join(dir, `${++count}.img`);
  execFileSync('cp', ['--sparse=always', path, copy]);
  return copy;
}

const superblock = async (path: string): Promise<Buffer> => Buffer.from(await realDiskMachine.read(path, AT, 1024));
const halves = (first: Buffer, second: Buffer): Buffer =>
  Buffer.concat([first.subarray(0, HALF), second.subarray(HALF)]);

/** Where the copy of a group of a file system with blocks of 1024 bytes is. */
const copyAt = (group: number): number => (1 + group * 8192) * 1024;

async function make(blockSize: number, mib: number): Promise<string> {
  const path = join(dir, `${++count}.img`);
  await fs.writeFile(path, '');
  await fs.truncate(path, mib * 1024 * 1024);
  const features = 'has_journal,metadata_csum,64bit,sparse_super,resize_inode';
  tool('mkfs.ext4', '-q', '-F', '-b', String(blockSize), '-O', features, '-J', 'size=4', path);
  return path;
}

/** A file of the file system, whose new content only the journal has. */
async function withJournal(path: string, blockSize: number): Promise<void> {
  const [old, fresh, commands] = ['old', 'new', 'commands'].map((name) => join(dir, name)) as [string, string, string];
  await fs.writeFile(old, OLD.slice(0, blockSize));
  await fs.writeFile(fresh, NEW.slice(0, blockSize));
  debugfs(path, `write ${old} data`);
  const block = debugfs(path, 'blocks data').trim();
  await fs.writeFile(commands, `journal_open\njournal_write -b ${block} ${fresh}\njournal_close\n`);
  tool('debugfs', '-w', '-f', commands, path);
}

describe.skipIf(!TOOLS.every(existsSync))('a torn superblock (skipped where e2fsprogs are not installed)', () => {
  /** two versions of one superblock, both with a journal to replay */
  let image: string;
  let versions: [Buffer, Buffer];
  const of4096 = { image: '', versions: [Buffer.alloc(0), Buffer.alloc(0)] as [Buffer, Buffer] };
  beforeAll(async () => {
    const twoVersions = async (path: string, blockSize: number): Promise<[Buffer, Buffer]> => {
      await withJournal(path, blockSize);
      const before = await superblock(path);
      debugfs(path, 'set_super_value mnt_count 7');
      return [before, await superblock(path)];
    };
    image = await make(1024, 32);
    versions = await twoVersions(image, 1024);
    of4096.image = await make(4096, 160);
    of4096.versions = await twoVersions(of4096.image, 4096);
  });

  /** A copy of the image with another superblock. */
  async function put(bytes: Uint8Array, from = image): Promise<string> {
    const path = await copyOf(from);
    await poke(path, AT, bytes);
    return path;
  }
  const torn = () => halves(versions[1], versions[0]);

  it.each([
    [1024, 0, 1],
    [1024, 1, 0],
    [4096, 0, 1],
    [4096, 1, 0],
  ] as const)('blocks of %i, halves %i and %i: is mended, and the journal is replayed', async (blockSize, a, b) => {
    const its = blockSize === 1024 ? { image, versions } : of4096;
    const path = await put(halves(its.versions[a], its.versions[b]), its.image);
    expect(await checked(path)).toBe(8);
    // what one of the two versions alone is
    expect(Buffer.from((await tornSuperblock(path, realDiskMachine)) ?? [])).toEqual(its.versions[a]);
    await mount(path);
    expect(debugfs(path, 'cat data')).toBe(NEW.slice(0, blockSize));
    expect(tool('e2fsck', '-f', '-n', path)).toContain('/'); // exit status 0
  });

  it('is mended by one sector, so that a cut while mending changes nothing', async () => {
    const path = await put(torn());
    const writes: [number, number][] = [];
    await mount(path, {
      ...FILES,
      write: async (device, pieces, why) => {
        for (const { at, bytes } of pieces) writes.push([at, bytes.length]);
        await realDiskMachine.write(device, pieces, why);
      },
    });
    expect(writes).toEqual([[AT + HALF, HALF]]);
  });

  it('is left alone while it is whole', async () => {
    const path = await put(versions[0]);
    expect(await tornSuperblock(path, realDiskMachine)).toBeUndefined();
    await mount(path, { ...FILES, write: () => Promise.reject(new Error('written')) });
  });

  it.each(['before', 'after'] as const)(
    'of the size %s a growth: is mended, and has its size in the end',
    async (which) => {
      const small = await make(1024, 32);
      await fs.truncate(small, 80 * 1024 * 1024);
      const grown = await copyOf(small);
      tool('resize2fs', grown);
      const [before, after] = [await superblock(small), await superblock(grown)];
      const [path, other] = which === 'before' ? [small, grown] : [grown, small];
      // the copies in the other groups are those of the other size
      for (const group of [1, 3])
        await poke(path, copyAt(group), await realDiskMachine.read(other, copyAt(group), 1024));
      await poke(path, AT, which === 'before' ? halves(before, after) : halves(after, before));
      expect(await checked(path)).toBe(8);
      const mended = Buffer.from((await tornSuperblock(path, realDiskMachine)) ?? []);
      expect(mended.subarray(0, HALF)).toEqual((which === 'before' ? before : after).subarray(0, HALF));
      await mount(path);
      expect((await superblock(path)).readUInt32LE(0x04)).toBe(80 * 1024);
      tool('e2fsck', '-f', '-n', path); // exit status 0
    },
  );

  it('is the file system that it is, also where nothing is encrypted', async () => {
    // libblkid since 2.39 looks at the checksum; an older one is told to
    const strict: DiskMachine = {
      ...FILES,
      run: (program, args, options) =>
        program === 'blkid' ? Promise.resolve({ exit: 2, stdout: '', stderr: '' }) : run(program, args, options),
    };
    expect(await deviceContent(await put(torn()), strict)).toEqual({ kind: 'ext4' });
    const damaged = torn();
    damaged.fill(1, 0x68, 0x78); // UUID
    expect(await deviceContent(await put(damaged), strict)).toMatchObject({ kind: 'unknown' });
  });

  describe('is not what this is', () => {
    const refused = async (path: string): Promise<void> => {
      const before = await superblock(path);
      expect(await tornSuperblock(path, realDiskMachine)).toBeUndefined();
      await expect(mount(path)).rejects.toMatchObject({ code: 'FS_CHECK_FAILED', hint: expect.stringMatching(/hand/) });
      expect(await superblock(path)).toEqual(before);
    };

    it('garbage', async () => {
      await refused(await put(Buffer.alloc(1024, 0xa5)));
      const magic = Buffer.alloc(1024, 0xa5);
      magic.writeUInt16LE(0xef53, 0x38);
      await refused(await put(magic));
    });

    it('the superblock of another file system', async () => {
      const other = await make(1024, 32);
      await refused(await put(halves((await superblock(other)).fill(0, 0x34, 0x36), versions[0])));
      // and its copies beside ours
      const path = await put(torn());
      for (const group of [1, 3]) {
        await poke(path, copyAt(group), await realDiskMachine.read(other, copyAt(group), 1024));
      }
      await refused(path);
    });

    it('one without a whole copy', async () => {
      const path = await put(torn());
      for (const group of [1, 3]) await poke(path, copyAt(group) + 0x180, new Uint8Array(1).fill(1));
      await refused(path);
    });

    it('one whose sizes do not follow from each other', async () => {
      const bytes = torn();
      bytes.writeUInt32LE(bytes.readUInt32LE(0x04) + 100_000, 0x04);
      await refused(await put(bytes));
    });

    // everything that no power cut changes: see the table of s_* fields in the documentation of the kernel
    const fixed = [
      0x14, 0x18, 0x1c, 0x20, 0x24, 0x28, 0x36, 0x38, 0x3c, 0x3e, 0x48, 0x4c, 0x50, 0x52, 0x54, 0x58, 0x5c, 0x60, 0x64,
      0x68, 0x77, 0x78, 0xc8, 0xcc, 0xce, 0xd0, 0xe0, 0xe4, 0xec, 0xfb, 0xfc, 0xfd, 0xfe, 0x100, 0x104, 0x108, 0x10c,
      0x14f, 0x15c, 0x15e, 0x160, 0x164, 0x166, 0x168, 0x170, 0x174, 0x175, 0x176, 0x180, 0x190, 0x200, 0x23f, 0x240,
      0x24c, 0x254, 0x258, 0x268, 0x26c, 0x270, 0x27c, 0x280, 0x284, 0x3fb,
    ];
    it('one that is damaged elsewhere', async () => {
      const path = await put(torn());
      const accepted: number[] = [];
      for (const at of fixed) {
        const bytes = torn();
        bytes.writeUInt8((bytes[at] as number) ^ 0xff, at);
        await poke(path, AT, bytes);
        if ((await tornSuperblock(path, realDiskMachine)) !== undefined) accepted.push(at);
      }
      expect(accepted).toEqual([]);
      await poke(path, AT, torn());
      expect(await tornSuperblock(path, realDiskMachine)).toBeDefined();
    });
  });

  it('that cannot be read or written is for e2fsck to tell', async () => {
    const fail = async (): Promise<never> => {
      throw new DstackError('FILE_IO', 'no');
    };
    await expect(mount(await put(torn()), { ...FILES, read: fail })).rejects.toMatchObject({ code: 'FS_CHECK_FAILED' });
    await expect(mount(await put(torn()), { ...FILES, write: fail })).rejects.toMatchObject({
      code: 'FS_CHECK_FAILED',
    });
  });
});

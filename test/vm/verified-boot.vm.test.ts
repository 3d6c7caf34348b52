/**
 * The initramfs against roots that are not what the command line says. A small root stands in for the image: what is
 * tried ends before anything of it runs, or at the first damaged block.
 */
import { copyFile, mkdir, open, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { kernelCmdline, PARTITION } from '../../initramfs/lib/cmdline.ts';
import { ensureInitrd } from '../../initramfs/lib/initrd.ts';
import { ensureKernel } from '../../initramfs/lib/kernel.ts';
import { ensureTools } from '../../initramfs/lib/tools.ts';
import { ensureUki } from '../../initramfs/lib/uki.ts';
import { Machine } from '../../initramfs/vm/machine.ts';
import type { BootImage } from '../../initramfs/vm/machine-options.ts';
import { bootFirmware } from './firmware.ts';
import { makeSmallRoot, READ, type SmallRoot, STARTED } from './small-root.ts';
import { vmDir } from './support.ts';

const dir = vmDir('verified-boot');
let image: BootImage;
let root: SmallRoot;

beforeAll(async () => {
  const tools = await ensureTools({});
  const kernel = await ensureKernel(tools);
  root = await makeSmallRoot(dir);
  image = {
    kernel: kernel.vmlinux,
    initrd: await ensureInitrd(tools, kernel),
    root: root.file,
    cmdline: kernelCmdline('dev', root.hash, root.size),
    osImageHash: '00'.repeat(32),
    name: 'small',
  };
});

/** Boots a copy of the small root after a change, and returns the console. */
async function attempt(name: string, change: (file: string) => Promise<unknown>, words?: string): Promise<string> {
  const place = join(dir, name);
  await mkdir(place);
  const file = join(place, 'root');
  await copyFile(root.file, file);
  await change(file);
  const verity = words ?? `dstack.rootfs_hash=${root.hash} dstack.rootfs_size=${root.size}`;
  const cmdline = image.cmdline.replace(/dstack\.rootfs_(hash|size)=\S+ ?/g, '');
  await using vm = await Machine.boot({
    image: { ...image, root: file, cmdline: `${cmdline} ${verity}` },
    dir: join(place, 'vm'),
    share: {},
    shareMode: '9p',
    dataDisk: 'none',
    cpus: 1,
    memoryMiB: 320,
    guestPorts: [],
  });
  await vm.waitExit(90_000);
  return vm.console.text;
}

const flip = (at: number) => async (file: string) => {
  const handle = await open(file, 'r+');
  const byte = new Uint8Array(1);
  await handle.read(byte, 0, 1, at);
  await handle.write(Uint8Array.of(byte[0]! ^ 1), 0, 1, at);
  await handle.close();
};
const nothing = async () => {};

describe.concurrent('the initramfs', () => {
  it('starts a root that is what the command line says', async () => {
    const text = await attempt('intact', nothing);
    expect(text).toContain(STARTED);
    expect(text).toContain(READ);
  });

  it('never hands out a changed byte of a file', async () => {
    // incompressible data lies in front of what squashfs packs: the middle of the image is inside the file
    const text = await attempt('data', (file) => flip(Math.floor(root.size / 2))(file));
    expect(text).not.toContain(READ);
    expect(text).toMatch(/verity: \S+ data block \d+ is corrupted|Kernel panic/);
  });

  it('starts it from firmware, as one file beside a partition with the root', async () => {
    const tools = await ensureTools({});
    const { bzImage, version: kernelVersion } = await ensureKernel(tools);
    const cmdline = kernelCmdline('dev', root.hash, root.size, PARTITION);
    const uki = await ensureUki({ bzImage, kernelVersion, initrd: image.initrd, cmdline });
    const text = await bootFirmware(join(dir, 'firmware'), uki, root.file, 120_000);
    expect(text).toContain(STARTED);
    expect(text).toContain(READ);
  });

  const refused: [what: string, change: (file: string) => Promise<unknown>, words: string | undefined, says: RegExp][] =
    [
      [
        'one bit of the file system superblock',
        (file) => flip(40)(file),
        undefined,
        /cannot be mounted|dm-verity refuses/,
      ],
      [
        'one bit of the hash tree',
        (file) => flip(root.size + 4096)(file),
        undefined,
        /cannot be mounted|dm-verity refuses/,
      ],
      [
        'one bit of the salt in the verity superblock',
        (file) => flip(root.size + 88)(file),
        undefined,
        /cannot be mounted|dm-verity refuses/,
      ],
      [
        'a root cut in the middle',
        (file) => truncate(file, Math.floor(root.size / 2 / 4096) * 4096),
        undefined,
        /dm-verity refuses/,
      ],
      ['a root without its hash tree', (file) => truncate(file, root.size), undefined, /dm-verity refuses/],
      ['another hash', nothing, 'wrong', /cannot be mounted|dm-verity refuses/],
      ['no hash', nothing, 'none', /dstack\.rootfs_hash is missing/],
    ];
  it.each(refused)('refuses %s', async (what, change, words, says) => {
    const other = `${root.hash.slice(0, -1)}${root.hash.endsWith('0') ? '1' : '0'}`;
    const line =
      words === 'wrong'
        ? `dstack.rootfs_hash=${other} dstack.rootfs_size=${root.size}`
        : words === 'none'
          ? `dstack.rootfs_size=${root.size}`
          : undefined;
    const text = await attempt(what.replaceAll(' ', '-'), change, line);
    expect(text).not.toContain(STARTED);
    expect(text).toMatch(says);
    expect(text).toContain('Kernel panic - not syncing: Attempted to kill init!');
  });
});

/**
 * The initramfs against roots that are not what the command line says. A small root stands in for the image: what is
 * tried ends before anything of it runs, or at the first damaged block.
 */
import { copyFile, mkdir, open, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { kernelCmdline } from '../../initramfs/lib/cmdline.ts';
import { ensureInitrd } from '../../initramfs/lib/initrd.ts';
import { ensureKernel } from '../../initramfs/lib/kernel.ts';
import { addVerity } from '../../initramfs/lib/rootfs.ts';
import { ensureTools, runInTools } from '../../initramfs/lib/tools.ts';
import { Machine } from '../../initramfs/vm/machine.ts';
import type { BootImage } from '../../initramfs/vm/machine-options.ts';
import { vmDir } from './support.ts';

/** what the program of the small root says, before and after it has read every byte of a file */
const STARTED = 'the small root has started';
const READ = 'every byte was read';
const REFUSED = 'not all of it could be read';

const dir = vmDir('verified-boot');
const root = join(dir, 'root');
let image: BootImage;
let hash = '';
let size = 0;

beforeAll(async () => {
  const tools = await ensureTools({});
  const kernel = await ensureKernel(tools);
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  const script = [
    'mkdir -p tree/sbin tree/bin tree/sys tree/proc tree/dev tree/run tree/var/volatile',
    'cp /bin/busybox tree/bin/busybox; ln -s busybox tree/bin/sh',
    'head -c 3000000 /dev/urandom >tree/data', // does not compress: where it lies, every bit counts
    "cat >tree/sbin/init <<'END'",
    '#!/bin/sh',
    `echo "${STARTED}" >/dev/kmsg`,
    `if /bin/busybox cat /data >/dev/null 2>&1; then echo "${READ}" >/dev/kmsg; else echo "${REFUSED}" >/dev/kmsg; fi`,
    '/bin/busybox poweroff -f',
    'END',
    'chmod 755 tree/sbin/init',
    'mksquashfs tree root -noappend -quiet -no-progress -all-root >/dev/null',
    'stat -c %s root',
  ].join('\n');
  size = Number((await runInTools(['sh', '-ec', script], { cwd: dir })).stdout.trim());
  hash = await addVerity(dir, size);
  image = {
    kernel: kernel.vmlinux,
    initrd: await ensureInitrd(tools, kernel),
    root,
    cmdline: kernelCmdline('dev', hash, size),
    osImageHash: '00'.repeat(32),
    name: 'small',
  };
});

/** Boots a copy of the small root after a change, and returns the console. */
async function attempt(name: string, change: (file: string) => Promise<unknown>, words?: string): Promise<string> {
  const place = join(dir, name);
  await mkdir(place);
  const file = join(place, 'root');
  await copyFile(root, file);
  await change(file);
  const verity = words ?? `dstack.rootfs_hash=${hash} dstack.rootfs_size=${size}`;
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
    const text = await attempt('data', flip(Math.floor(size / 2)));
    expect(text).not.toContain(READ);
    expect(text).toMatch(/verity: \S+ data block \d+ is corrupted|Kernel panic/);
  });

  const refused: [what: string, change: (file: string) => Promise<unknown>, words: string | undefined, says: RegExp][] =
    [
      [
        'one bit of the file system superblock',
        (file) => flip(40)(file),
        undefined,
        /cannot be mounted|dm-verity refuses/,
      ],
      ['one bit of the hash tree', (file) => flip(size + 4096)(file), undefined, /cannot be mounted|dm-verity refuses/],
      [
        'one bit of the salt in the verity superblock',
        (file) => flip(size + 88)(file),
        undefined,
        /cannot be mounted|dm-verity refuses/,
      ],
      [
        'a root cut in the middle',
        (file) => truncate(file, Math.floor(size / 2 / 4096) * 4096),
        undefined,
        /dm-verity refuses/,
      ],
      ['a root without its hash tree', (file) => truncate(file, size), undefined, /dm-verity refuses/],
      ['another hash', nothing, 'wrong', /cannot be mounted|dm-verity refuses/],
      ['no hash', nothing, 'none', /dstack\.rootfs_hash is missing/],
    ];
  it.each(refused)('refuses %s', async (what, change, words, says) => {
    const other = `${hash.slice(0, -1)}${hash.endsWith('0') ? '1' : '0'}`;
    const line =
      words === 'wrong'
        ? `dstack.rootfs_hash=${other} dstack.rootfs_size=${size}`
        : words === 'none'
          ? `dstack.rootfs_size=${size}`
          : undefined;
    const text = await attempt(what.replaceAll(' ', '-'), change, line);
    expect(text).not.toContain(STARTED);
    expect(text).toMatch(says);
    expect(text).toContain('Kernel panic - not syncing: Attempted to kill init!');
  });
});

/**
 * The data disk with the real cryptsetup, device-mapper, ZFS and ext4: one VM in which nothing was started, the real
 * binary on loop devices. Every fault gives its code, and no fault formats anything.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { boot, fails, NOTHING_STARTED } from './support.ts';

const KEY = '5a'.repeat(32);
const OTHER = '33'.repeat(32);
const LONG = { timeoutMs: 240_000 };

let vm: Machine;
beforeAll(async () => {
  vm = await boot('disk', {
    zfs: true,
    dataDisk: 'none',
    shareMode: '9p',
    memoryMiB: 3072,
    kernelArgs: NOTHING_STARTED,
  });
  await vm.ok('modprobe -a zfs loop; mkdir -p /run/d; mount -t tmpfs -o size=1G tmpfs /run/d', { timeoutMs: 240_000 });
});
afterAll(() => vm?.kill().then(() => vm.stop()));

/** A loop device on a new file of zeros. */
const loop = async (name: string, mib: number): Promise<string> =>
  vm.ok(`truncate -s ${mib}M /run/d/${name}; losetup -P -f --show /run/d/${name}`);
const fde = (command: string, device: string, fs: string, key = KEY): string =>
  `echo ${key} | dstack-util fde ${command} --device ${device} --key-file - --fs ${fs} --mount-point /run/m`;
const close = (): Promise<string> => vm.ok('dstack-util fde close --mount-point /run/m');
const sum = (name: string): Promise<string> => vm.ok(`sha256sum </run/d/${name}`);

interface Status {
  partition: { number: number };
  mark: { initialising: boolean } | null;
  header: { accepted: boolean; keySlots: number };
  fileSystem: string;
  mountPoints: string[];
}

describe.sequential.each(['ext4', 'zfs'])('a volume with %s', (fs) => {
  const file = `own-${fs}`;
  let disk = '';

  it('is made on a blank disk, with the key in no process list and no environment', async () => {
    disk = await loop(file, 96);
    const watch = `(while [ ! -e /run/d/stop ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; done 2>/dev/null | tr '\\0' '\\n' >/run/d/seen) &`;
    await vm.ok(
      [
        'rm -f /run/d/stop /run/d/seen',
        // the key comes from a file, so that this shell does not show it either
        `(umask 077; echo ${KEY} >/run/d/key)`,
        watch,
        `dstack-util fde open --create --device ${disk} --key-file /run/d/key --fs ${fs} --mount-point /run/m`,
        'touch /run/d/stop; wait',
      ].join('\n'),
      LONG,
    );
    expect(Number(await vm.ok(`grep -c cryptsetup /run/d/seen`))).toBeGreaterThan(0);
    expect((await vm.sh(`grep -qi 5a5a5a5a5a5a5a5a /run/d/seen`)).exit).toBe(1);
    await vm.ok('echo kept >/run/m/file; sync');
    const status = JSON.parse(await vm.ok(`dstack-util fde status --device ${disk}p1 --json`)) as Status;
    expect(status).toMatchObject({
      partition: { number: 1 },
      mark: { initialising: false },
      header: { accepted: true, keySlots: 1 },
      mountPoints: ['/run/m'],
    });
  });

  it('may be opened, closed and formatted twice', async () => {
    await vm.ok(fde('open', `${disk}p1`, fs));
    await fails(vm, fde('open', `${disk}p1`, fs, OTHER), 'LUKS_KEY_WRONG');
    await close();
    await close();
    expect((await vm.sh(fde('format', `${disk}p1`, fs), LONG)).stderr).toContain('nothing was changed');
    await fails(vm, fde('format', `${disk}p1`, fs, OTHER), 'DISK_NOT_BLANK');
    await vm.ok(fde('open', `${disk}p1`, fs), LONG);
    expect(await vm.ok('cat /run/m/file')).toBe('kept');
  });

  // the first boot and later boots of both; the rest is proven for ext4 only
  it.runIf(fs === 'ext4')('grows while it is open', async () => {
    const before = Number(await vm.ok('df --output=size /run/m | tail -1'));
    await vm.ok(`truncate -s 160M /run/d/${file}; losetup -c ${disk}`);
    await vm.ok(fde('grow', `${disk}p1`, fs), LONG);
    await vm.ok(fde('grow', `${disk}p1`, fs), LONG);
    expect(Number(await vm.ok('df --output=size /run/m | tail -1'))).toBeGreaterThan(before + 40 * 1024);
    expect(await vm.ok(`cat /run/m/file; sgdisk -v ${disk}`)).toMatch(/^kept[\s\S]*No problems found/);
  });

  it.runIf(fs === 'ext4')('survives being filled up', async () => {
    await vm.sh('head -c 200M /dev/urandom >/run/m/full; sync', LONG); // zfs would not store zeros
    const zeros = await vm.ok('df --output=avail /run/m | tail -1');
    if (fs === 'ext4') expect(Number(zeros)).toBe(0);
    await close();
    await vm.ok(fde('open', `${disk}p1`, fs), LONG);
    expect(await vm.ok('cat /run/m/file')).toBe('kept');
    await close();
  });

  it.runIf(fs === 'ext4')('refuses a key of another app, and another file system, without a change', async () => {
    const before = await sum(file);
    await fails(vm, fde('open --create', disk, fs, OTHER), 'LUKS_KEY_WRONG');
    expect(await sum(file)).toBe(before);
    const other = await vm.sh(fde('open --create', disk, fs === 'zfs' ? 'ext4' : 'zfs'), LONG);
    expect(other.stderr).toMatch(/\[FS_(MOUNT|CHECK)_FAILED\]/);
    expect(await sum(file)).toBe(before);
    await fails(vm, 'dstack-util fde status --device /dev/nothing', 'DISK_NOT_FOUND');
  });
});

/**
 * The data disk with the real cryptsetup, device-mapper, ZFS and ext4: one VM in which nothing was started, the real
 * binary on loop devices. Every fault gives its code, and no fault formats anything.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureDisk } from '../../initramfs/vm/disk.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { bentHeader } from '../fde/header-corpus.ts';
import { boot, fails, NOTHING_STARTED, vmDir } from './support.ts';

const MIB = 1024 * 1024;
const KEY = '5a'.repeat(32);
const OTHER = '33'.repeat(32);
const volumeDisk = `${vmDir('disk')}/volume.img`;
const LONG = { timeoutMs: 240_000 };

let vm: Machine;
beforeAll(async () => {
  await ensureDisk(volumeDisk, { size: 64 * MIB, blank: true });
  vm = await boot('disk', {
    zfs: true,
    dataDisk: 'none',
    shareMode: '9p',
    memoryMiB: 3072,
    extraDisks: [{ file: volumeDisk }],
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

  it('grows while it is open', async () => {
    const before = Number(await vm.ok('df --output=size /run/m | tail -1'));
    await vm.ok(`truncate -s 160M /run/d/${file}; losetup -c ${disk}`);
    await vm.ok(fde('grow', `${disk}p1`, fs), LONG);
    await vm.ok(fde('grow', `${disk}p1`, fs), LONG);
    expect(Number(await vm.ok('df --output=size /run/m | tail -1'))).toBeGreaterThan(before + 40 * 1024);
    expect(await vm.ok(`cat /run/m/file; sgdisk -v ${disk}`)).toMatch(/^kept[\s\S]*No problems found/);
  });

  it('survives being filled up', async () => {
    await vm.sh('head -c 200M /dev/urandom >/run/m/full; sync', LONG); // zfs would not store zeros
    const zeros = await vm.ok('df --output=avail /run/m | tail -1');
    if (fs === 'ext4') expect(Number(zeros)).toBe(0);
    await close();
    await vm.ok(fde('open', `${disk}p1`, fs), LONG);
    expect(await vm.ok('cat /run/m/file')).toBe('kept');
    await close();
  });

  it('refuses a key of another app, and another file system, without a change', async () => {
    const before = await sum(file);
    await fails(vm, fde('open --create', disk, fs, OTHER), 'LUKS_KEY_WRONG');
    expect(await sum(file)).toBe(before);
    const other = await vm.sh(fde('open --create', disk, fs === 'zfs' ? 'ext4' : 'zfs'), LONG);
    expect(other.stderr).toMatch(/\[FS_(MOUNT|CHECK)_FAILED\]/);
    expect(await sum(file)).toBe(before);
    await fails(vm, 'dstack-util fde status --device /dev/nothing', 'DISK_NOT_FOUND');
  });

  it('gives the payload of another disk, unreadable parts and a read-only disk their codes', async () => {
    // the same file system behind the header of another volume of the same key
    const other = await loop(`other-${fs}`, 96);
    await vm.ok(
      `${fde('format', other, fs)}; dd if=${other}p1 of=${disk}p1 bs=1M count=16 conv=fsync 2>/dev/null`,
      LONG,
    );
    const unreadable = async (device: string, code: RegExp): Promise<void> => {
      const refusal = await vm.sh(fde('open --create', device, fs), LONG);
      expect(refusal.exit).not.toBe(0);
      expect(refusal.stderr).toMatch(code);
      expect((await vm.sh('test -e /dev/mapper/dstack_data_disk')).exit).toBe(1);
    };
    const noFileSystem = fs === 'zfs' ? /\[FS_MOUNT_FAILED\]/ : /\[FS_CHECK_FAILED\]/;
    const before = await sum(file);
    await unreadable(disk, noFileSystem);
    expect(await sum(file)).toBe(before);

    const whole = Number(await vm.ok(`blockdev --getsz ${other}p1`));
    const image = await sum(`other-${fs}`);
    const faults = [
      [8, 8, /\[FILE_IO\]/], // in the first header copy
      [32_768, whole - 32_776, noFileSystem], // the payload
    ] as const;
    for (const [bad, length, code] of faults) {
      const lines = [
        `0 ${bad} linear ${other}p1 0`,
        `${bad} ${length} error`,
        `${bad + length} ${whole - bad - length} linear ${other}p1 ${bad + length}`,
      ];
      await vm.ok(`printf '${lines.join('\\n')}\\n' | dmsetup create faulty`);
      await unreadable('/dev/mapper/faulty', code);
      await vm.ok('dmsetup remove --retry faulty');
    }
    expect(await sum(`other-${fs}`)).toBe(image);

    await vm.ok(`blockdev --setro ${other} ${other}p1`);
    await unreadable(other, /\[(LUKS_OPEN_FAILED|FS_MOUNT_FAILED|FS_CHECK_FAILED)\]/);
    expect(await sum(`other-${fs}`)).toBe(image);
    const blank = await loop(`ro-${fs}`, 32);
    await vm.ok(`blockdev --setro ${blank}`);
    await fails(vm, fde('open --create', blank, fs), 'FILE_IO');
    await vm.ok(`losetup -d ${blank} ${other} ${disk}; rm /run/d/*-${fs}`);
  }, 600_000);
});

describe.sequential('disks of the reference', () => {
  const reference = (device: string) =>
    `printf %s ${KEY} | cryptsetup luksFormat --type luks2 --offset 32768 --cipher aes-xts-plain64 --pbkdf pbkdf2 -d- ${device}`;

  it('open, grow and keep their data', async () => {
    const disk = await loop('ref', 96);
    await vm.ok(
      [
        `sgdisk -Z ${disk}; sgdisk -n 1:1MiB:0 -c 1:dstack-data -t 1:8300 ${disk}; blockdev --rereadpt ${disk}; udevadm settle`,
        reference(`${disk}p1`),
        `printf %s ${KEY} | cryptsetup luksOpen --type luks2 -d- ${disk}p1 dstack_data_disk`,
        'zpool create -o autoexpand=on -m none dstack /dev/mapper/dstack_data_disk',
        'zfs create -o mountpoint=/run/m -o atime=off -o checksum=blake3 dstack/data',
        'echo by hand >/run/m/file; zpool export dstack; cryptsetup luksClose dstack_data_disk',
        `truncate -s 160M /run/d/ref; losetup -c ${disk}`,
      ].join(' && '),
      LONG,
    );
    const iterations = /Iterations: +(\d+)/.exec(await vm.ok(`cryptsetup luksDump ${disk}p1`))?.[1];
    expect(Number(iterations)).toBeGreaterThan(1000); // the default, by benchmark
    await vm.ok(fde('open --create', disk, 'zfs'), LONG);
    expect(await vm.ok('cat /run/m/file')).toBe('by hand');
    expect(Number(await vm.ok('zpool list -Hp -o size dstack'))).toBeGreaterThan(100 * MIB);
    await close();
    await vm.ok(`losetup -d ${disk}; rm /run/d/ref`);
  });

  it('also as one whole disk of older versions, which keys of provider none would not get', async () => {
    const disk = await loop('whole', 64);
    await vm.ok(
      [
        reference(disk),
        `printf %s ${KEY} | cryptsetup luksOpen --type luks2 -d- ${disk} dstack_data_disk`,
        'mkfs.ext4 -q -F /dev/mapper/dstack_data_disk',
        'mount /dev/mapper/dstack_data_disk /run/m && echo old >/run/m/file && umount /run/m',
        'cryptsetup luksClose dstack_data_disk',
      ].join(' && '),
      LONG,
    );
    await vm.ok(fde('open --create', disk, 'ext4'), LONG);
    expect(await vm.ok('cat /run/m/file')).toBe('old');
    await close();
  });

  it('and ours open with the commands of the reference', async () => {
    const disk = await loop('ours', 96);
    await vm.ok(fde('open --create', disk, 'zfs'), LONG);
    await vm.ok('echo ours >/run/m/file');
    await close();
    const out = await vm.ok(
      [
        `cryptsetup luksHeaderBackup --header-backup-file=/run/d/header ${disk}p1`,
        `printf %s ${KEY} | cryptsetup luksOpen --type luks2 --header /run/d/header -d- ${disk}p1 dstack_data_disk`,
        'zpool import dstack && zpool status dstack && zpool online -e dstack /dev/mapper/dstack_data_disk',
        'mountpoint -q /run/m || zfs mount dstack/data; cat /run/m/file',
      ].join(' && '),
      LONG,
    );
    expect(out).toMatch(/state: ONLINE[\s\S]*ours$/);
    await vm.ok('zpool export dstack; cryptsetup luksClose dstack_data_disk');
  });

  it('rejects bent headers before the volume is opened', async () => {
    const disk = await vm.ok('losetup -j /run/d/ours -n -O NAME');
    const good = Buffer.from(await vm.ok(`head -c 32768 ${disk}p1 | base64 -w0`), 'base64');
    for (const name of ['cipher_null segment', 'second key slot', 'token', 'argon2id', 'config flags']) {
      const { bytes, rule } = bentHeader(name, good);
      await vm.ok(
        `echo ${Buffer.from(bytes).toString('base64')} | base64 -d | dd of=${disk}p1 conv=notrunc,fsync 2>/dev/null`,
      );
      const before = await sum('ours');
      expect(await fails(vm, fde('open --create', disk, 'zfs'), 'LUKS_HEADER_REJECTED')).toContain(
        rule.replace(/^copy \d /, ''),
      );
      await fails(vm, `dstack-util fde check-header ${disk}p1`, 'LUKS_HEADER_REJECTED');
      expect((await vm.sh('test -e /dev/mapper/dstack_data_disk')).exit).toBe(1);
      expect(await sum('ours')).toBe(before);
    }
    await vm.ok(`echo ${good.toString('base64')} | base64 -d | dd of=${disk}p1 conv=notrunc,fsync 2>/dev/null`);
    await vm.ok(fde('open --create', disk, 'zfs'), LONG);
    expect(await vm.ok('cat /run/m/file')).toBe('ours');
    await close();
  });
});

describe.sequential('verity volumes', () => {
  const compose = (root: string) =>
    JSON.stringify({
      manifest_version: 2,
      name: 'x',
      runner: 'docker-compose',
      verity_volumes: [{ source: 'v.img', verity_root: root, target: '/run/model' }],
    });
  const write = (text: string) => `echo ${Buffer.from(text).toString('base64')} | base64 -d >/run/d/app-compose.json`;

  it('are found, mounted read-only, and refused when the data does not match', async () => {
    const root = await vm.ok(
      [
        'set -e; sgdisk -n 1:1MiB:+1M -n 2:2MiB:+40M -n 3:0:0 /dev/vdb >/dev/null; udevadm settle',
        'mkdir -p /run/d/tree; echo weights >/run/d/tree/model; mkfs.ext4 -q -F -d /run/d/tree /dev/vdb2',
        "root=$(veritysetup format /dev/vdb2 /dev/vdb3 | sed -n 's/^Root hash:[[:space:]]*//p')",
        `{ printf 'DSTACK_VOLUME\\0\\0\\0\\1\\0\\0\\0'; printf "$(echo $root | sed 's/../\\\\x&/g')"; } >/run/d/envelope`,
        'dd if=/run/d/envelope of=/dev/vdb1 conv=fsync 2>/dev/null; echo $root',
      ].join('\n'),
      LONG,
    );
    expect(await vm.ok('dstack-util fde volumes list')).toBe(`${root}\tdata=/dev/vdb2\thash=/dev/vdb3`);
    await vm.ok(write(compose(root)));
    const status = () => vm.ok('dstack-util fde volumes status /run/d/app-compose.json');
    expect(await status()).toBe(`0\troot=${root}\ttarget=/run/model\tattached=true\tactive=false`);
    for (let i = 0; i < 2; i++) await vm.ok('dstack-util fde volumes mount /run/d/app-compose.json');
    expect(await vm.ok('cat /run/model/model; findmnt -no OPTIONS /run/model')).toMatch(/^weights\nro/);
    expect(await status()).toMatch(/attached=true\tactive=true$/);
    await vm.ok(
      'umount /run/model; veritysetup close dstack-verity0; dd if=/dev/urandom of=/dev/vdb2 bs=4k count=1 conv=fsync',
    );
    await fails(vm, 'dstack-util fde volumes mount /run/d/app-compose.json', 'VOLUME_INVALID');
    expect((await vm.sh('test -e /dev/mapper/dstack-verity0')).exit).toBe(1);
    await vm.ok(write(compose('00'.repeat(32))));
    await fails(vm, 'dstack-util fde volumes mount /run/d/app-compose.json', 'VOLUME_INVALID');
  });
});

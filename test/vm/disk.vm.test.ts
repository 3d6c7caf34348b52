/**
 * The data disk with the real cryptsetup, device-mapper, ZFS and ext4: one VM in which nothing was started, the real
 * binary on loop devices. Every test has disks of its own. Every fault gives its code, and no fault formats anything.
 */
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ensureDisk } from '../../initramfs/vm/disk.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { encodeMark, MARK_AT } from '../../src/fde/marks.ts';
import { bentHeader } from '../fde/header-corpus.ts';
import { DiskRoom, type Fs, fde, KEY, LONG, OTHER, reference, SIZE } from './disk-room.ts';
import { readExecTrace, START_EXEC_TRACE } from './exec-trace.ts';
import { boot, fails, THAWED, vmDir } from './support.ts';
import { checkVerityVolumes } from './verity-volume.ts';

const volumeDisk = `${vmDir('disk')}/volume.img`;

let vm: Machine;
let room: DiskRoom;
beforeAll(async () => {
  await ensureDisk(volumeDisk, { size: 64 * 1024 * 1024, blank: true });
  vm = await boot('disk', {
    ...THAWED,
    zfs: true,
    dataDisk: 'none',
    shareMode: '9p',
    extraDisks: [{ file: volumeDisk }],
  });
  room = new DiskRoom(vm);
  await room.prepare();
});
afterEach(() => room.reset());
afterAll(() => vm?.kill().then(() => vm.stop()));

interface Status {
  partition: { number: number };
  mark: { initialising: boolean } | null;
  header: { accepted: boolean; key_slots: number };
  file_system: string;
  mount_points: string[];
}

describe.sequential.each<Fs>(['ext4', 'zfs'])('a volume with %s', (fs) => {
  it('is made and opened with the key in no argument and no environment', async () => {
    const { device, part } = await room.blank(SIZE[fs]);
    // from a file, so that the shell of this test does not show it either
    await room.run([`(umask 077; echo ${KEY} >/run/d/key)`, START_EXEC_TRACE]);
    const open = `dstack-util fde open --create --device ${device} --key-file /run/d/key --fs ${fs} --mount-point /run/m`;
    await room.run([open, 'echo kept >/run/m/file', 'dstack-util fde close --mount-point /run/m', open]);
    const started = await readExecTrace(vm);
    for (const seen of ['"luksFormat"', '"luksOpen"', '"--key-file=-"']) expect(started).toContain(seen);
    for (const form of [KEY, KEY.toUpperCase(), Buffer.from(KEY, 'hex').toString('base64')]) {
      expect(started.includes(form)).toBe(false);
    }
    expect(await room.kept()).toBe('kept');
    const status = JSON.parse(await vm.ok(`dstack-util fde status --device ${part} --json`)) as Status;
    expect(status).toMatchObject({
      partition: { number: 1 },
      mark: { initialising: false },
      header: { accepted: true, key_slots: 1 },
      file_system: fs === 'zfs' ? 'zfs_member' : 'ext4',
      mount_points: ['/run/m'],
    });
  });

  it('grows while it is open, and is exported cleanly', async () => {
    const disk = await room.volume(fs);
    await vm.ok(fde('open', disk.part, fs), LONG);
    const before = await room.size(fs);
    await room.enlarge(disk, SIZE[fs] + 64);
    await vm.ok(fde('grow', disk.part, fs), LONG);
    expect(await room.size(fs)).toBeGreaterThan(before + 40 * 1024);
    await room.close();
    const { exit, stderr } = await vm.sh(fde('open --create', disk.device, fs), LONG);
    expect(exit, stderr).toBe(0);
    expect(stderr).not.toContain('with force');
    expect(await room.kept()).toBe('kept');
    expect(await vm.ok(`sgdisk -v ${disk.device}`)).toContain('No problems found');
  });

  it('refuses a disk of another app, another file system, and the payload of another disk', async () => {
    const disk = await room.volume(fs);
    await room.unchanged(disk, async () => {
      await room.refuses(fde('open --create', disk.device, fs, OTHER), 'LUKS_KEY_WRONG');
      const other = fs === 'zfs' ? 'ext4' : 'zfs';
      const message = await room.refuses(fde('open --create', disk.device, other), 'FS_MOUNT_FAILED');
      expect(message).toContain(fs === 'zfs' ? 'zfs_member' : 'ext4');
    });
    // the header of a volume with the same key
    const header = await room.volume(fs, 2);
    await room.run([`dd if=${header.part} of=${disk.part} bs=1M count=15 conv=fsync,notrunc 2>/dev/null`]);
    const code = fs === 'zfs' ? 'FS_MOUNT_FAILED' : 'FS_CHECK_FAILED';
    await room.unchanged(disk, () => room.refuses(fde('open --create', disk.device, fs), code));
  });

  it('gives unreadable, read-only and removed disks their codes', async () => {
    const disk = await room.volume(fs);
    const { part, device } = disk;
    const size = Number(await vm.ok(`blockdev --getsz ${part}`));
    const payload = ['open', 32_768, size - 32_776, fs === 'zfs' ? 'FS_MOUNT_FAILED' : 'FS_CHECK_FAILED'] as const;
    const header = ['open', 8, 8, 'FILE_IO'] as const;
    const everything = ['open --create', 0, size - 8, 'FILE_IO'] as const;
    await room.unchanged(disk, async () => {
      // what lies in front of the payload is read in the same way for both
      for (const [command, bad, length, code] of fs === 'ext4' ? [payload, header, everything] : [payload]) {
        await room.faulty(part, size, bad, length);
        await room.refuses(fde(command, '/dev/mapper/faulty', fs), code);
        await room.run(['dmsetup remove --retry faulty']);
      }
      await room.run([`blockdev --setro ${device} ${part}`]);
      await room.refuses(fde('open --create', device, fs), payload[3]);
      await room.run([`blockdev --setrw ${device} ${part}`]);
    });
    await room.run([`losetup -d ${device}`, 'udevadm settle']);
    await fails(vm, fde('open', part, fs), 'DISK_NOT_FOUND');
  });
});

// a pool of this size takes minutes to fill under emulation
it('a volume survives being filled up', async () => {
  const { part } = await room.volume('ext4');
  await vm.ok(fde('open', part, 'ext4'), LONG);
  const { exit, stderr } = await vm.sh('head -c 100M /dev/urandom >/run/m/full', LONG); // zeros would not be stored
  expect(exit).not.toBe(0);
  expect(stderr).toContain('No space left');
  await room.close();
  await vm.ok(fde('open --create', part, 'ext4'), LONG);
  expect(await room.kept()).toBe('kept');
  await vm.ok('rm /run/m/full && echo more >/run/m/more');
});

it('every command may be given twice', async () => {
  const disk = await room.volume('ext4');
  const twice = async (command: string, second: string): Promise<void> => {
    await vm.ok(command, LONG);
    const { exit, stdout, stderr } = await vm.sh(command, LONG);
    expect(exit, stderr).toBe(0);
    expect(stdout + stderr, command).toContain(second);
  };
  await twice(`dstack-util fde check-header ${disk.part}`, 'accepted');
  await twice(fde('format', disk.part, 'ext4'), 'nothing was changed');
  await fails(vm, fde('format', disk.part, 'ext4', OTHER), 'DISK_NOT_BLANK');
  await twice(fde('open --create', disk.device, 'ext4'), 'mounted');
  await vm.ok(fde('open', disk.part, 'ext4'), LONG);
  await fails(vm, fde('open', disk.part, 'ext4', OTHER), 'LUKS_KEY_WRONG');
  await twice(`dstack-util fde status --device ${disk.part}`, '/run/m');
  expect(await room.kept()).toBe('kept');
  await room.enlarge(disk, 104);
  await twice(fde('grow', disk.part, 'ext4'), 'partition as large as it can be, mapping and file system grown');
  await twice('dstack-util fde close --mount-point /run/m', '');
  await fails(vm, 'dstack-util fde status --device /dev/nothing', 'DISK_NOT_FOUND');
});

it('a blank disk that cannot be written or read stays blank', async () => {
  const disk = await room.blank(40);
  await room.unchanged(disk, async () => {
    await room.run([`blockdev --setro ${disk.device}`]);
    await room.refuses(fde('open --create', disk.device, 'ext4'), 'FILE_IO');
    await room.run([`blockdev --setrw ${disk.device}`]);
    await room.faulty(disk.device, 40 * 2048, 60_000, 8);
    await room.refuses(fde('open --create', '/dev/mapper/faulty', 'ext4'), 'FILE_IO');
  });
});

describe.sequential.each<Fs>(['zfs', 'ext4'])('disks of the reference with %s', (fs) => {
  it('open, grow and keep their data, also with the default iteration count', async () => {
    const disk = await room.blank(SIZE[fs]);
    await room.run([
      ...reference.partition(disk.device),
      ...reference.format(disk.part),
      ...reference.open(disk.part),
      ...reference.create[fs],
      'echo by hand >/run/m/file',
      ...reference.close[fs],
    ]);
    const { iterations } = JSON.parse(await vm.ok(`dstack-util fde check-header --json ${disk.part}`));
    expect(iterations).toBeGreaterThan(1000); // by cryptsetup's benchmark
    await vm.ok(fde('open --create', disk.device, fs), LONG);
    expect(await room.kept()).toBe('by hand');
    const before = await room.size(fs);
    await room.close();
    await room.enlarge(disk, SIZE[fs] + 64);
    await vm.ok(fde('open --create', disk.device, fs), LONG);
    expect(await room.kept()).toBe('by hand');
    expect(await room.size(fs)).toBeGreaterThan(before + 40 * 1024);
  });

  it('and ours open, grow and keep their data with its commands', async () => {
    const disk = await room.volume(fs);
    await room.run([...reference.open(disk.part), ...reference.mount[fs]]);
    expect(await room.kept()).toBe('kept');
    const before = await room.size(fs);
    await room.run(reference.close[fs]);
    await room.enlarge(disk, SIZE[fs] + 64);
    await room.run([...reference.grow(disk.device), ...reference.open(disk.part), ...reference.mount[fs]]);
    expect(await room.kept()).toBe('kept');
    expect(await room.size(fs)).toBeGreaterThan(before + 40 * 1024);
    await room.run(reference.close[fs]);
    await vm.ok(fde('open --create', disk.device, fs), LONG);
    expect(await room.kept()).toBe('kept');
  });
});

it('a whole disk that older versions have encrypted opens and grows', async () => {
  const disk = await room.blank(40);
  await room.run([
    ...reference.format(disk.device),
    ...reference.open(disk.device),
    ...reference.create.ext4,
    'echo old >/run/m/file',
    ...reference.close.ext4,
  ]);
  await room.enlarge(disk, 104);
  await vm.ok(fde('open --create', disk.device, 'ext4'), LONG);
  expect(await room.kept()).toBe('old');
  expect(await room.size('ext4')).toBeGreaterThan(60 * 1024);
});

it('bent headers are rejected by their rule before the volume is opened', async () => {
  const disk = await room.volume('ext4');
  const good = Buffer.from(await vm.ok(`head -c 32768 ${disk.part} | base64 -w0`), 'base64');
  await room.run([`cp --sparse=always ${disk.file} /run/d/before`]);
  const write = (bytes: Uint8Array): string[] => [
    `echo ${gzipSync(bytes).toString('base64')} | base64 -d | gunzip >/run/d/header`,
    `dd if=/run/d/header of=${disk.part} conv=notrunc,fsync 2>/dev/null`,
    'dd if=/run/d/header of=/run/d/before bs=1M seek=1 conv=notrunc 2>/dev/null',
  ];
  for (const name of SAMPLE) {
    const { bytes, rule } = bentHeader(name, good);
    await room.run(write(bytes));
    const message = await room.refuses(fde('open --create', disk.device, 'ext4'), 'LUKS_HEADER_REJECTED');
    expect(message, name).toContain(rule.replace(/^copy (\d) /, 'copy $1: '));
    await room.run([`blockdev --flushbufs ${disk.device}; sync; cmp ${disk.file} /run/d/before`]);
  }
  await fails(vm, `dstack-util fde check-header ${disk.part}`, 'LUKS_HEADER_REJECTED');
  await room.run(write(good));
  await vm.ok(fde('open --create', disk.device, 'ext4'), LONG);
  expect(await room.kept()).toBe('kept');
});

/** One of each kind; the unit tests go through all of them. */
const SAMPLE = [
  'version 1',
  'label in the second copy',
  'duplicate encryption',
  'cipher_null segment',
  'cipher_null key slot',
  'second key slot',
  'token',
  'argon2id',
  'area offset 00768',
  'linear segment behind the first',
  'integrity',
  'config flags',
  'digest of no length',
  '2^31 iterations',
  'checksum of the first copy',
];

it('a volume that a forged mark calls ephemeral opens with its key, and the mark is mended', async () => {
  const disk = await room.volume('ext4');
  const uuid = await vm.ok(`dd if=${disk.part} bs=1 skip=168 count=36 2>/dev/null`);
  const forged = Buffer.from(encodeMark({ initialising: false, ephemeral: true, uuid })).toString('base64');
  const at = MARK_AT / 512;
  await room.run([`echo ${forged} | base64 -d | dd of=${disk.part} bs=512 seek=${at} conv=notrunc,fsync 2>/dev/null`]);
  expect(await vm.ok(`${fde('open --create', disk.device, 'ext4')} 2>&1`, LONG)).toContain('the mark is not believed');
  expect(await room.kept()).toBe('kept');
  expect(await vm.ok(`dd if=${disk.part} bs=512 skip=${at} count=1 2>/dev/null | head -3`)).toContain('keys lasting');
});

it('verity volumes are found, mounted read-only, and refused when the data does not match', () =>
  checkVerityVolumes(vm, '/dev/vdb'));

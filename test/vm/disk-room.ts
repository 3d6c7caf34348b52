/**
 * Disks for tests in a VM: loop devices on files in its memory, `dstack-util fde` by hand, and the commands with which
 * the reference makes and opens its volumes (dstack boot order, data device, LUKS2, file systems).
 */
import { expect } from 'vitest';
import type { Machine } from '../../initramfs/vm/machine.ts';

export type Fs = 'ext4' | 'zfs';

export const KEY = '5a'.repeat(32);
/** the key of another app */
export const OTHER = '33'.repeat(32);
export const LONG = { timeoutMs: 240_000 };
/** MiB; a pool needs more than 64 besides the header */
export const SIZE = { ext4: 40, zfs: 96 } as const;
export const MAPPER = '/dev/mapper/dstack_data_disk';
const DIR = '/run/d';
const MOUNT = '/run/m';
/** Succeeds while anything of a volume is open. */
const OPEN = `{ test -e ${MAPPER} || mountpoint -q ${MOUNT}; }`;

export interface Disk {
  readonly device: string;
  /** its first partition */
  readonly part: string;
  /** the file behind it */
  readonly file: string;
}

/** A command line of `fde` with the key on stdin. */
export const fde = (command: string, device: string, fs: Fs, key = KEY): string =>
  `echo ${key} | dstack-util fde ${command} --device ${device} --key-file - --fs ${fs} --mount-point ${MOUNT}`;

/** udev may hold the disk at that moment: then the kernel refuses, and is asked again. */
const reread = (disk: string): string =>
  `udevadm settle; blockdev --rereadpt ${disk} || { sleep 1; blockdev --rereadpt ${disk}; }; udevadm settle`;

/** The reference's commands; each is one line of a script that stops at the first failure. */
export const reference = {
  partition: (disk: string) => [
    `sgdisk -Z ${disk} || true`, // there is nothing to zap
    `sgdisk -n 1:1MiB:0 -c 1:dstack-data -t 1:8300 ${disk}`,
    reread(disk),
  ],
  grow: (disk: string) => [`sgdisk -e ${disk}`, `parted --script ${disk} resizepart 1 100%`, reread(disk)],
  format: (device: string) => [
    `printf %s ${KEY} | cryptsetup luksFormat --type luks2 --offset 32768 --cipher aes-xts-plain64 --pbkdf pbkdf2 -d- ${device}`,
  ],
  open: (device: string) => [
    `cryptsetup luksHeaderBackup --header-backup-file=${DIR}/header ${device}`,
    `printf %s ${KEY} | cryptsetup luksOpen --type luks2 --header ${DIR}/header -d- ${device} dstack_data_disk`,
    `rm ${DIR}/header`,
  ],
  create: {
    zfs: [
      `zpool create -o autoexpand=on -m none dstack ${MAPPER}`,
      `zfs create -o mountpoint=${MOUNT} -o atime=off -o checksum=blake3 dstack/data`,
    ],
    ext4: [`mkfs.ext4 -F ${MAPPER}`, `mount ${MAPPER} ${MOUNT}`],
  },
  mount: {
    zfs: [
      'zpool import dstack',
      'zpool status dstack',
      `zpool online -e dstack ${MAPPER}`,
      `mountpoint -q ${MOUNT} || zfs mount dstack/data`,
    ],
    ext4: [`e2fsck -f -p ${MAPPER} || [ $? = 1 ]`, `resize2fs ${MAPPER}`, `mount ${MAPPER} ${MOUNT}`],
  },
  close: {
    zfs: ['zpool export dstack', 'cryptsetup luksClose dstack_data_disk'],
    ext4: [`umount ${MOUNT}`, 'cryptsetup luksClose dstack_data_disk'],
  },
};

export class DiskRoom {
  readonly vm: Machine;
  readonly #templates = new Map<string, Promise<string>>();
  #count = 0;

  constructor(vm: Machine) {
    this.vm = vm;
  }

  /** Loads what the tests need and gives them memory for disks. */
  async prepare(): Promise<void> {
    await this.run([`mkdir -p ${DIR} ${MOUNT}`, `mount -t tmpfs -o size=1500M tmpfs ${DIR}`, 'modprobe -a zfs loop']);
  }

  /** A script whose lines must all succeed; returns what it printed. */
  run(lines: readonly string[], shell = 'set -eo pipefail'): Promise<string> {
    return this.vm.ok([shell, ...lines].join('\n'), LONG);
  }

  /** A disk of zeros. */
  async blank(mib: number): Promise<Disk> {
    const file = `${DIR}/disk${++this.#count}`;
    return this.#attach(file, `truncate -s ${mib}M ${file}`);
  }

  /**
   * A disk with a volume that `fde format` has made and that holds the file `file` with the text `kept`. The volume is
   * made once; each test gets a copy of its own. `which` tells volumes of the same key apart.
   */
  async volume(fs: Fs, which = 1): Promise<Disk> {
    const name = `${fs}-${which}`;
    if (!this.#templates.has(name)) this.#templates.set(name, this.#makeVolume(fs, name));
    const template = await this.#templates.get(name);
    const file = `${DIR}/disk${++this.#count}`;
    return this.#attach(file, `cp --sparse=always ${template} ${file}`);
  }

  async #makeVolume(fs: Fs, name: string): Promise<string> {
    const disk = await this.blank(SIZE[fs]);
    await this.run([
      fde('open --create', disk.device, fs),
      `echo kept >${MOUNT}/file`,
      `dstack-util fde close --mount-point ${MOUNT}`,
      `losetup -d ${disk.device}`,
      `mv ${disk.file} ${DIR}/template-${name}`,
    ]);
    return `${DIR}/template-${name}`;
  }

  async #attach(file: string, make: string): Promise<Disk> {
    const device = await this.run([make, `losetup -P -f --show ${file}`, 'udevadm settle']);
    return { device, part: `${device}p1`, file };
  }

  /** Makes the file of a disk larger, as a host does. */
  async enlarge({ device, file }: Disk, mib: number): Promise<void> {
    await this.run([`truncate -s ${mib}M ${file}`, `losetup -c ${device}`, 'udevadm settle']);
  }

  close(): Promise<string> {
    return this.vm.ok(`dstack-util fde close --mount-point ${MOUNT}`, LONG);
  }

  /** The text of the file that was put on a volume; the volume must be mounted. */
  kept(): Promise<string> {
    return this.vm.ok(`mountpoint -q ${MOUNT} && cat ${MOUNT}/file`);
  }

  /** What df or zpool say about the size of the mounted volume, in KiB. */
  async size(fs: Fs): Promise<number> {
    if (fs === 'ext4') return Number(await this.vm.ok(`df --output=size ${MOUNT} | tail -1`));
    return Number(await this.vm.ok('zpool list -Hp -o size dstack')) / 1024;
  }

  /** `work` must leave every byte of a disk as it was. */
  async unchanged({ device, file }: Disk, work: () => Promise<unknown>): Promise<void> {
    await this.run([`sync; cp --sparse=always ${file} ${DIR}/before`]);
    await work();
    await this.run([`blockdev --flushbufs ${device}; sync`, `cmp ${file} ${DIR}/before`, `rm ${DIR}/before`]);
  }

  /** Makes /dev/mapper/faulty: a device on which `length` sectors at `bad` cannot be read or written. */
  async faulty(device: string, size: number, bad: number, length: number): Promise<void> {
    const rest = bad + length;
    const table = [
      ...(bad === 0 ? [] : [`0 ${bad} linear ${device} 0`]),
      `${bad} ${length} error`,
      `${rest} ${size - rest} linear ${device} ${rest}`,
    ];
    await this.run([`printf '${table.join('\\n')}\\n' | dmsetup create faulty`]);
  }

  /** The volume must be refused with one error and its code, and nothing of it may stay open. Returns the message. */
  async refuses(command: string, code: string): Promise<string> {
    const { exit, stderr } = await this.vm.sh(
      `${command}\nstatus=$?; ${OPEN} && echo STILL OPEN >&2; exit $status`,
      LONG,
    );
    expect(exit, stderr).not.toBe(0);
    expect(stderr).toContain(`[${code}]`);
    expect(stderr.match(/^(<\d>)?error \[/gm), stderr).toHaveLength(1);
    expect(stderr).not.toContain('STILL OPEN');
    return stderr;
  }

  /** Puts everything back, whatever a test has left. */
  async reset(): Promise<void> {
    await this.vm.ok(
      [
        `umount ${MOUNT}; zpool export -f dstack; cryptsetup luksClose dstack_data_disk; dmsetup remove --retry faulty`,
        `losetup -D; rm -f ${DIR}/disk* ${DIR}/before ${DIR}/header; true`,
      ].join('\n'),
      LONG,
    );
  }
}

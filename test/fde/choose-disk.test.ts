import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { chooseDataDevice } from '../../src/fde/choose-disk.ts';
import { DATA_START } from '../../src/fde/create-partition.ts';
import { encodeMark, MARK_AT } from '../../src/fde/marks.ts';
import { FakeDiskMachine, poke } from './fake-disk-machine.ts';
import { buildHeader } from './header-builder.ts';

let machine: FakeDiskMachine;
beforeEach(async () => {
  machine = await FakeDiskMachine.create({ realTools: true });
});
afterEach(() => machine.destroy());

const choose = (cmdline = '', env: Record<string, string> = {}) =>
  chooseDataDevice({ cmdline: parseCmdline(cmdline), env }, machine);

/** commands that write to a disk */
const writes = () => machine.calls.filter((call) => /^(write|cryptsetup|mkfs|zpool|wipefs --all)/.test(call));

describe('chooseDataDevice', () => {
  it('partitions a blank /dev/vdb and marks it as initialising', async () => {
    await machine.addDisk('vdb', 64);
    expect(await choose()).toEqual({ device: machine.path('vdb1'), how: 'partition-created', created: true });
    expect(await machine.mark('vdb1')).toMatchObject({ initialising: true, ephemeral: false });
    expect(writes()).toHaveLength(3); // the claim, the two copies of the table without the first header, and that
  });

  it('takes the partition dstack-data on any disk before /dev/vdb', async () => {
    await machine.addDisk('vda', 64);
    const path = await machine.addPartition('vda', 3, 'dstack-data', 40);
    await machine.addDisk('vdb', 64);
    expect(await choose()).toEqual({ device: path, how: 'partlabel', created: false });
    expect(writes()).toEqual([]);
  });

  it('is told when there is no disk', async () => {
    await expect(choose()).rejects.toMatchObject({ code: 'DISK_NOT_FOUND', path: machine.path('vdb') });
  });

  it('uses a disk that is one LUKS volume as a whole', async () => {
    await poke(await machine.addDisk('vdb', 64), 0, buildHeader());
    expect(await choose()).toEqual({ device: machine.path('vdb'), how: 'whole-disk-luks', created: false });
    expect(writes()).toEqual([]);
  });

  it('refuses a disk with other partitions and names them', async () => {
    await machine.addDisk('vdb', 64);
    await machine.addPartition('vdb', 1, 'home', 20);
    await machine.addPartition('vdb', 2, '', 20);
    await expect(choose()).rejects.toMatchObject({
      code: 'DISK_NOT_BLANK',
      value: `partitions ${machine.path('vdb1')} (home), ${machine.path('vdb2')}`,
    });
    expect(writes()).toEqual([]);
  });

  it.each([
    ['raw bytes at 4096', 4096, 'data', /unknown data at byte 4096/],
    ['one byte at the end', 64 * 1024 * 1024 - 1, 'x', /unknown data at byte 67108863/],
    ['a swap signature', 4086, 'SWAPSPACE2', /unknown data|swap/],
    ['the second copy of a LUKS header', 16_384, buildHeader().subarray(16_384), /crypto_LUKS/],
  ])('refuses a disk with %s', async (_, at, bytes, seen) => {
    await poke(await machine.addDisk('vdb', 64), at, bytes);
    await expect(choose()).rejects.toMatchObject({ code: 'DISK_NOT_BLANK', value: expect.stringMatching(seen) });
    expect(writes()).toEqual([]);
  });

  it('refuses a foreign file system on the disk and on the partition dstack-data', async () => {
    const disk = await machine.addDisk('vdb', 64);
    execFileSync('/usr/sbin/mkfs.ext4', ['-q', '-F', disk]);
    await expect(choose()).rejects.toMatchObject({ code: 'DISK_NOT_BLANK', value: 'a ext4 file system' });

    await machine.addDisk('vdc', 64);
    const part = await machine.addPartition('vdc', 1, 'dstack-data', 40);
    await poke(part, 0, Buffer.concat([Buffer.from([0xeb, 0x3c, 0x90]), Buffer.from('XFSB')]));
    await expect(choose()).rejects.toMatchObject({ code: 'DISK_NOT_BLANK', path: part });
    expect(writes()).toEqual([]);
  });

  it('lets the leftovers of an interrupted first boot through: they are judged when the volume is opened', async () => {
    await machine.addDisk('vdb', 64);
    const part = await machine.addPartition('vdb', 1, 'dstack-data', 40);
    await poke(part, 8192, 'half a volume');
    await expect(choose()).rejects.toMatchObject({ code: 'DISK_NOT_BLANK' });
    await poke(part, MARK_AT, encodeMark({ initialising: true, ephemeral: false, uuid: randomUUID() }));
    expect((await choose()).device).toBe(part);
  });

  it('does not take a mark as leave to overwrite what somebody made there since', async () => {
    await machine.addDisk('vdb', 64);
    const part = await machine.addPartition('vdb', 1, 'dstack-data', 40);
    await poke(part, MARK_AT, encodeMark({ initialising: true, ephemeral: false, uuid: randomUUID() }));
    execFileSync('/usr/sbin/mkswap', ['-q', part]);
    await expect(choose()).rejects.toMatchObject({ code: 'DISK_NOT_BLANK', value: expect.stringContaining('swap') });
    const disk = await machine.addDisk('vdc', 64);
    await poke(disk, DATA_START + MARK_AT, encodeMark({ initialising: true, ephemeral: false, uuid: randomUUID() }));
    execFileSync('/usr/sbin/mkfs.ext4', ['-q', '-F', disk]);
    const before = await fs.readFile(disk);
    await expect(choose(`dstack.data_device=${disk}`)).resolves.toMatchObject({ device: disk, created: false });
    expect((await fs.readFile(disk)).equals(before)).toBe(true);
  });

  it('power cuts at every write of the partition table: the next boot finds or makes it', async () => {
    const plain = await FakeDiskMachine.create();
    const take = (disk: string) =>
      chooseDataDevice({ cmdline: parseCmdline(`dstack.data_device=${disk}`), env: {} }, plain);
    const seen = new Set<string>();
    for (let seed = 1; seed <= 3; seed++) {
      for (let step = 0; ; step++) {
        const disk = await plain.addDisk('vdx', 26);
        Object.assign(plain, { seed, cutAfter: step });
        const first = await take(disk).catch(() => undefined);
        await plain.restart();
        const second = await take(disk);
        expect(second.device).toBe(`${disk}1`);
        expect(await plain.mark('vdx1')).toMatchObject({ initialising: true });
        seen.add(second.created ? 'made' : 'found');
        await plain.restart();
        await plain.removeDisk('vdx');
        if (first !== undefined) break;
      }
    }
    expect([...seen].sort()).toEqual(['found', 'made']);
    await plain.destroy();
  }, 60_000);

  describe('override', () => {
    beforeEach(async () => {
      await machine.addDisk('vdb', 64);
      await machine.addDisk('vdc', 64);
    });

    it('by label, from the command line before the environment, first occurrence', async () => {
      const path = await machine.addPartition('vdc', 1, 'mine', 40);
      const other = { DSTACK_DATA_DEVICE: 'PARTLABEL=other' };
      const chosen = await choose('a dstack.data_device=PARTLABEL=mine dstack.data_device=PARTLABEL=x', other);
      expect(chosen).toEqual({ device: path, how: 'override', created: false });
    });

    it('by label from the environment', async () => {
      const path = await machine.addPartition('vdc', 1, 'mine', 40);
      expect((await choose('', { DSTACK_DATA_DEVICE: 'PARTLABEL=mine' })).device).toBe(path);
    });

    it('by partition uuid: what the kernel tells, else the link of udev', async () => {
      const path = await machine.addPartition('vdc', 1, '', 40);
      await fs.mkdir(machine.path('disk/by-partuuid'), { recursive: true });
      await fs.symlink(path, machine.path('disk/by-partuuid/0a-1b'));
      expect((await choose('dstack.data_device=PARTUUID=0A-1B')).device).toBe(path);
      await fs.appendFile(`${machine.sysfs}/class/block/vdc1/uevent`, 'PARTUUID=2c-3d\n');
      expect((await choose('dstack.data_device=PARTUUID=2C-3D')).device).toBe(path);
    });

    it('by device: a partition as it is, a blank disk as /dev/vdb would be used, and its partition ever after', async () => {
      const override = `dstack.data_device=${machine.path('vdc')}`;
      expect(await choose(override)).toEqual({ device: machine.path('vdc1'), how: 'override', created: true });
      expect(await choose(override)).toEqual({ device: machine.path('vdc1'), how: 'override', created: false });
      expect((await choose(`dstack.data_device=${machine.path('vdc1')}`)).device).toBe(machine.path('vdc1'));
    });

    it.each(['PARTLABEL=missing', 'PARTUUID=../../vdc', '/dev/missing', 'vdc', '/etc/passwd'])(
      'that leads nowhere (%s) is ignored',
      async (text) => {
        expect((await choose(`dstack.data_device=${text}`)).device).toBe(machine.path('vdb1'));
      },
    );
  });
});

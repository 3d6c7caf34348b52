import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { chooseDataDevice } from '../../src/fde/choose-disk.ts';
import { closeDataDisk } from '../../src/fde/close.ts';
import type { Content } from '../../src/fde/content.ts';
import { type DataDiskOptions, formatDataDisk, openDataDisk } from '../../src/fde/data-disk.ts';
import { decideDisk } from '../../src/fde/decide.ts';
import { growPartition } from '../../src/fde/grow.ts';
import { encodeMark, MARK_AT } from '../../src/fde/marks.ts';
import { setupSwap } from '../../src/fde/swap.ts';
import { partitions } from '../../src/fde/sysfs.ts';
import { FakeDiskMachine, PowerCut, poke } from './fake-disk-machine.ts';
import { buildHeader, goodJson } from './header-builder.ts';

const KEY = new Uint8Array(32).fill(7);
const OTHER_KEY = new Uint8Array(32).fill(8);
const READY = { initialising: false, ephemeral: false };
const EPHEMERAL = { initialising: false, ephemeral: true };

let machine: FakeDiskMachine;
beforeEach(async () => {
  machine = await FakeDiskMachine.create();
});
afterEach(() => machine.destroy());

/** What a boot does: choose, grow, open. */
async function boot(options: Partial<DataDiskOptions> = {}) {
  const { device } = await chooseDataDevice({ cmdline: parseCmdline(''), env: {} }, machine);
  await growPartition(device, machine);
  return openDataDisk(
    { device, mountPoint: '/mnt/data', fs: 'ext4', encrypted: true, key: KEY, ephemeral: false, ...options },
    machine,
  );
}

const formats = () => machine.count('luksFormat') + machine.count('mkfsExt4') + machine.count('zpool create');

describe.each(['ext4', 'zfs'] as const)('openDataDisk with %s', (fs) => {
  it('makes a volume on a blank disk, mounts it ever after, and writes nothing to the table then', async () => {
    await machine.addDisk('vdb', 48);
    const steps: string[] = [];
    const first = await boot({ fs, onStep: (text) => steps.push(text) });
    expect(first).toEqual({ action: 'initialised', mapper: machine.path('mapper/dstack_data_disk') });
    expect(await machine.mark('vdb1')).toMatchObject(READY);
    expect((await machine.mounts()).at(-1)).toMatchObject({ mountPoint: '/mnt/data', type: fs });

    await closeDataDisk({ mountPoint: '/mnt/data' }, machine);
    expect(await machine.isBlockDevice(machine.path('mapper/dstack_data_disk'))).toBe(false);
    await machine.restart();
    expect((await boot({ fs, onStep: (text) => steps.push(text) })).action).toBe('mounted');
    expect(machine.count('write')).toBe(0);
    expect(formats()).toBe(0);
    expect(steps).toEqual(['initializing data disk', 'mounting data disk']);
  });

  it('starts no program twice for the same answer', async () => {
    await machine.addDisk('vdb', 48);
    for (const action of ['initialised', 'mounted']) {
      expect((await boot({ fs })).action).toBe(action);
      const repeated = machine.calls.filter((call, at) => machine.calls.indexOf(call) !== at);
      expect(repeated).toEqual([]);
      await machine.restart();
    }
  });

  it('closes it although parts of it are bound to other places', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ fs });
    for (const name of ['docker', 'containerd']) {
      await machine.run('mount', ['--bind', `/mnt/data/var/lib/${name}`, `/var/lib/${name}`]);
    }
    await machine.run('mount', ['--bind', '/mnt/data', '/dstack/persistent']);
    await closeDataDisk({ mountPoint: '/mnt/data' }, machine);
    expect(await machine.mounts()).toEqual([]);
    expect(await machine.isBlockDevice(machine.path('mapper/dstack_data_disk'))).toBe(false);
  });

  it('also without a clean end of the boot before', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ fs });
    await machine.restart();
    expect((await boot({ fs })).action).toBe('mounted');
  });

  it('keeps an unencrypted volume the same way', async () => {
    await machine.addDisk('vdb', 48);
    const options = { fs, encrypted: false } as const;
    expect(await boot(options)).toEqual({ action: 'initialised' });
    await machine.restart();
    // the label of the pool is a made-up one that libblkid does not know
    if (fs === 'ext4') expect(await boot(options)).toEqual({ action: 'mounted' });
    expect(machine.count('cryptsetup')).toBe(0);
  });

  it('with a wrong key changes nothing', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ fs });
    await machine.restart();
    await expect(boot({ fs, key: OTHER_KEY })).rejects.toMatchObject({ code: 'LUKS_KEY_WRONG' });
    expect(formats()).toBe(0);
    await machine.restart();
    expect((await boot({ fs })).action).toBe('mounted');
  });

  it.each([true, false])(
    'power cuts at every step of the first boot (encrypted %s): the next one comes up',
    async (encrypted) => {
      // the label of the made-up pool is unknown to libblkid
      if (fs === 'zfs' && !encrypted) return;
      const options = { fs, encrypted } as const;
      await machine.addDisk('vdb', 26);
      for (let step = 0; ; step++) {
        await machine.restart();
        Object.assign(machine, { seed: 1 + 7 * step, cutAfter: step });
        const done = await boot(options).catch((thrown) => {
          expect(thrown).toBeInstanceOf(PowerCut);
          return undefined;
        });
        if (done !== undefined) break;
        expect(step).toBeLessThan(40);
        // one that is not interrupted finishes from here; tried on a copy, the next cut hits what this one left
        const copy = await machine.copyDisk('vdb');
        await machine.restart();
        expect((await boot(options)).action).toMatch(/initialised|mounted/);
        await machine.restart();
        expect((await boot(options)).action).toBe('mounted');
        await machine.restoreDisk('vdb', copy);
      }
      expect((await machine.mounts()).at(-1)?.mountPoint).toBe('/mnt/data');
      if (encrypted) expect(await machine.mark('vdb1')).toMatchObject(READY);
    },
    60_000,
  );

  it('never makes a ready volume again, whatever happens while the power fails again and again', async () => {
    for (let seed = 1; seed <= 2; seed++) {
      await machine.addDisk('vdb', 26);
      let ready = false;
      for (let round = 0; round < 20; round++) {
        await machine.restart();
        Object.assign(machine, { seed: seed * 1000 + round, cutAfter: (seed * 7 + round * 5) % 23 });
        const done = await boot({ fs }).catch(() => undefined);
        // the mark of a ready volume is on the disk before the boot goes on
        if (ready) expect(formats()).toBe(0);
        ready ||= (await machine.mark('vdb1').catch(() => undefined))?.initialising === false;
        if (done !== undefined) expect(ready).toBe(true);
      }
      await machine.restart();
      await boot({ fs });
      await machine.restart();
      await machine.removeDisk('vdb');
    }
  });

  it('power cuts at every step of later boots: never formatted again', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ fs });
    for (let step = 0; ; step++) {
      await machine.restart();
      machine.cutAfter = step;
      const done = await boot({ fs }).catch(() => undefined);
      expect(formats()).toBe(0);
      if (done !== undefined) break;
      expect(step).toBeLessThan(40);
    }
  });
});

describe('keys that end with the boot (key provider none)', () => {
  const none = { ephemeral: true } as const;

  it('make a marked volume that the next such boot makes again', async () => {
    await machine.addDisk('vdb', 48);
    expect((await boot(none)).action).toBe('initialised');
    expect(await machine.mark('vdb1')).toMatchObject(EPHEMERAL);
    await machine.restart();
    expect((await boot({ ...none, key: OTHER_KEY })).action).toBe('reformatted-ephemeral');
    expect(await machine.mark('vdb1')).toMatchObject(EPHEMERAL);
  });

  it('come up after a power cut at every step of a later boot', async () => {
    await machine.addDisk('vdb', 48);
    await boot(none);
    for (let step = 0; ; step++) {
      await machine.restart();
      machine.cutAfter = step;
      if ((await boot({ ...none, key: OTHER_KEY }).catch(() => undefined)) !== undefined) break;
      expect(step).toBeLessThan(40);
      await machine.restart();
      await boot({ ...none, key: new Uint8Array(32).fill(step) });
    }
  });

  it('never touch a volume of real keys', async () => {
    await machine.addDisk('vdb', 48);
    await boot();
    await machine.restart();
    await expect(boot(none)).rejects.toMatchObject({ code: 'DISK_FOREIGN' });
    expect(formats()).toBe(0);
    await machine.restart();
    expect((await boot()).action).toBe('mounted');
  });

  it('leave a volume behind that real keys refuse', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ ...none, key: OTHER_KEY });
    await machine.restart();
    await expect(boot()).rejects.toMatchObject({ code: 'DISK_FOREIGN', hint: expect.stringContaining('blank') });
    expect(formats()).toBe(0);
  });

  it.each(['ext4', 'zfs'] as const)('are not believed of a volume that the real key opens (%s)', async (fs) => {
    await machine.addDisk('vdb', 48);
    await boot({ fs });
    await machine.restart();
    const uuid = (await machine.mark('vdb1'))?.uuid ?? '';
    await poke(machine.path('vdb1'), MARK_AT, encodeMark({ ...EPHEMERAL, uuid })); // by the host
    // another key is refused, and nobody is told that this volume is lost for sure
    await expect(boot({ fs, key: OTHER_KEY })).rejects.toMatchObject({
      code: 'DISK_FOREIGN',
      hint: expect.stringContaining('a host can write marks'),
    });
    expect(await machine.mark('vdb1')).toMatchObject(EPHEMERAL);
    expect((await boot({ fs })).action).toBe('mounted');
    expect(formats()).toBe(0);
    expect(await machine.mark('vdb1')).toEqual({ ...READY, uuid });
    await machine.restart();
    expect((await boot({ fs })).action).toBe('mounted');
    expect(machine.count('write')).toBe(0);
  });

  it('are asked about only where the header is one that may be opened', async () => {
    await machine.addDisk('vdb', 48);
    await boot();
    await machine.restart();
    const { uuid } = (await machine.mark('vdb1')) ?? { uuid: '' };
    const json = goodJson();
    json.digests['0'].digest = '';
    await poke(machine.path('vdb1'), 0, buildHeader({ json, uuid }));
    await poke(machine.path('vdb1'), MARK_AT, encodeMark({ ...EPHEMERAL, uuid }));
    await expect(boot()).rejects.toMatchObject({ code: 'LUKS_HEADER_REJECTED', field: 'copy 0 digests.0.digest' });
    expect(machine.count('luksOpen')).toBe(0);
  });

  it('never touch a volume that is a whole disk: it has no place for the mark', async () => {
    await poke(await machine.addDisk('vdb', 48), 0, buildHeader());
    await expect(boot(none)).rejects.toMatchObject({ code: 'DISK_FOREIGN' });
    expect(formats()).toBe(0);
  });
});

describe('with the real tools for file systems', () => {
  it('makes, checks, grows and mounts ext4', async () => {
    const real = await FakeDiskMachine.create({ realTools: true });
    try {
      machine = real;
      await machine.addDisk('vdb', 48);
      await boot();
      await machine.restart();
      await machine.resizeDisk('vdb', 64);
      expect((await boot()).action).toBe('mounted');
      expect(machine.count('e2fsck -f -p')).toBe(1);
      // it grows while it is mounted, which a power cut does not hurt
      const order = machine.calls.map((call) => call.split(' ')[0] ?? '');
      expect(order.filter((program) => /^(e2fsck|resize2fs)$/.test(program))).toEqual(['e2fsck', 'resize2fs']);
      expect(order.lastIndexOf('mount')).toBeGreaterThan(order.indexOf('e2fsck'));
      expect(order.lastIndexOf('mount')).toBeLessThan(order.indexOf('resize2fs'));
      await machine.restart();
      await expect(boot({ fs: 'zfs' })).rejects.toMatchObject({
        code: 'FS_MOUNT_FAILED',
        message: expect.stringContaining('holds ext4, not zfs'),
      });
      // nothing stays open behind a failure
      expect(await machine.isBlockDevice(machine.path('mapper/dstack_data_disk'))).toBe(false);
    } finally {
      await real.destroy();
    }
  });
});

describe('a header that departs from ours', () => {
  it('is refused before cryptsetup opens anything', async () => {
    const json = goodJson();
    json.segments['0'].encryption = 'cipher_null-ecb';
    await machine.addDisk('vdb', 48);
    const part = await machine.addPartition('vdb', 1, 'dstack-data', 40);
    await poke(part, 0, buildHeader({ json }));
    await expect(boot()).rejects.toMatchObject({ code: 'LUKS_HEADER_REJECTED', value: 'cipher_null-ecb' });
    expect(machine.count('luksOpen')).toBe(0);
    expect(formats()).toBe(0);
  });
});

describe('decideDisk', () => {
  const base = { device: '/dev/vdb1', encrypted: true, ephemeral: false, fs: 'zfs' } as const;
  const clear = { ...READY, uuid: '' };
  const contents: Content[] = [
    ...(['zfs', 'ext4', 'blank'] as const).map((kind) => ({ kind })),
    { kind: 'luks', uuid: '' },
    { kind: 'unknown', seen: 'x', foreign: true },
    { kind: 'unknown', seen: 'x', foreign: false },
  ];
  const outcome = (...args: Parameters<typeof decideDisk>): string => {
    try {
      return decideDisk(...args);
    } catch (thrown) {
      return (thrown as { code: string }).code;
    }
  };

  it('formats only blank devices while the marks are clear, whatever else is so', () => {
    for (const encrypted of [true, false]) {
      for (const ephemeral of [true, false]) {
        for (const fs of ['zfs', 'ext4'] as const) {
          for (const marks of [clear, undefined]) {
            for (const content of contents) {
              const result = outcome({ ...base, encrypted, ephemeral, fs }, content, marks);
              if (content.kind !== 'blank') expect(result).not.toMatch(/initialised|reformatted/);
            }
          }
        }
      }
    }
  });

  it('refuses an encrypted volume when encryption is off, and an open one when it is on', () => {
    expect(outcome({ ...base, encrypted: false }, { kind: 'luks', uuid: '' }, clear)).toBe('DISK_NOT_BLANK');
    expect(outcome(base, { kind: 'zfs' }, clear)).toBe('DISK_NOT_BLANK');
    expect(outcome({ ...base, encrypted: false }, { kind: 'ext4' }, clear)).toBe('DISK_NOT_BLANK');
    expect(outcome({ ...base, encrypted: false }, { kind: 'zfs' }, clear)).toBe('mounted');
  });

  it('does not take an ephemeral mark as leave to format a foreign file system', () => {
    const marks = { ...EPHEMERAL, uuid: '' };
    const none = { ...base, ephemeral: true };
    expect(outcome(none, { kind: 'unknown', seen: 'xfs', foreign: true }, marks)).toBe('DISK_NOT_BLANK');
    expect(outcome(none, { kind: 'ext4' }, marks)).toBe('DISK_NOT_BLANK');
    expect(outcome(none, { kind: 'unknown', seen: 'noise', foreign: false }, marks)).toBe('reformatted-ephemeral');
  });
});

describe('formatDataDisk', () => {
  const options = { mountPoint: '/mnt/data', fs: 'ext4', encrypted: true, ephemeral: false } as const;
  const format = (key: Uint8Array) => formatDataDisk({ ...options, key, device: machine.path('vdb1') }, machine);

  it('does nothing the second time, and refuses a volume of another key', async () => {
    await machine.addDisk('vdb', 48);
    await boot();
    await closeDataDisk({ mountPoint: '/mnt/data' }, machine);
    await machine.restart();
    expect((await format(KEY)).action).toBe('mounted');
    await closeDataDisk({ mountPoint: '/mnt/data' }, machine);
    await expect(format(OTHER_KEY)).rejects.toMatchObject({ code: 'DISK_NOT_BLANK' });
    expect(formats()).toBe(0);
  });

  it('finishes what was interrupted', async () => {
    await machine.addDisk('vdb', 48);
    machine.cutAfter = 9;
    await expect(boot()).rejects.toBeInstanceOf(PowerCut);
    await machine.restart();
    expect((await format(KEY)).action).toBe('initialised');
  });
});

describe('growPartition', () => {
  it('grows the partition when the disk has grown, and writes nothing when it has not', async () => {
    await machine.addDisk('vdb', 48);
    await boot();
    await machine.restart();
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(false);
    expect(machine.count('write')).toBe(0);
    await machine.resizeDisk('vdb', 96);
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(true);
    expect((await boot()).action).toBe('mounted');
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(false);
  });

  it('grows again and again, and a power cut at any write leaves the old or the new size', async () => {
    await machine.addDisk('vdb', 26);
    await boot();
    const sizes = new Set<number>();
    for (let step = 0; step < 12; step++) {
      await machine.restart();
      await machine.resizeDisk('vdb', 30 + 2 * step);
      machine.seed = step + 1;
      machine.cutAfter = step % 4;
      await growPartition(machine.path('vdb1'), machine);
      await machine.restart();
      sizes.add((await partitions(machine))[0]?.size ?? 0);
      expect((await boot()).action).toBe('mounted');
      expect(formats()).toBe(0);
    }
    expect(sizes.size).toBeGreaterThan(3);
    expect(sizes.has(0)).toBe(false);
  });

  it('leaves a partition alone that another one lies behind', async () => {
    await machine.addDisk('vdb', 48);
    await machine.addPartition('vdb', 1, 'dstack-data', 20);
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(false);
    expect(machine.count('write')).toBe(0);
  });

  it('is never fatal', async () => {
    await machine.addDisk('vdb', 48);
    await boot();
    await machine.resizeDisk('vdb', 96);
    machine.cutAfter = 0;
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(false);
  });
});

describe('setupSwap', () => {
  it('makes a zvol, replaces it at the next boot and removes it for size 0', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ fs: 'zfs' });
    const swap = (size: number) => setupSwap({ fs: 'zfs', mountPoint: '/mnt/data', size }, machine);
    await swap(1 << 20);
    expect(machine.calls.at(-1)).toBe(`swapon ${machine.path('zvol/dstack/swap')}`);
    expect(machine.count('zfs destroy')).toBe(0);
    await swap(1 << 20);
    expect(machine.count('swapoff')).toBe(1);
    expect(machine.count('zfs destroy dstack/swap')).toBe(1);
    await swap(0);
    expect(machine.count('zfs destroy dstack/swap')).toBe(2);
    expect(machine.count('zfs create -V')).toBe(2);
  });

  it('refuses a size that is none', async () => {
    await expect(setupSwap({ fs: 'zfs', mountPoint: '/m', size: -1 }, machine)).rejects.toMatchObject({
      code: 'SWAP_FAILED',
    });
  });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { chooseDataDevice } from '../../src/fde/choose-disk.ts';
import type { Content } from '../../src/fde/content.ts';
import { closeDataDisk, type DataDiskOptions, decide, formatDataDisk, openDataDisk } from '../../src/fde/data-disk.ts';
import { growPartition } from '../../src/fde/grow.ts';
import { setupSwap } from '../../src/fde/swap.ts';
import { FakeMachine, PowerCut, poke } from './fake-machine.ts';
import { buildHeader, goodJson } from './header-builder.ts';

const KEY = new Uint8Array(32).fill(7);
const OTHER_KEY = new Uint8Array(32).fill(8);
const EPHEMERAL = 1n << 53n;

let machine: FakeMachine;
beforeEach(async () => {
  machine = await FakeMachine.create();
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
    expect(machine.flags('vdb')).toBe(0n);
    expect((await machine.mounts()).at(-1)).toMatchObject({ mountPoint: '/mnt/data', type: fs });

    await closeDataDisk({ mountPoint: '/mnt/data' }, machine);
    expect(await machine.isBlockDevice(machine.path('mapper/dstack_data_disk'))).toBe(false);
    machine.restart();
    expect((await boot({ fs, onStep: (text) => steps.push(text) })).action).toBe('mounted');
    expect(machine.calls.filter((call) => /^sgdisk (?!-i)/.test(call))).toEqual([]);
    expect(formats()).toBe(0);
    expect(steps).toEqual(['initializing data disk', 'mounting data disk']);
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
    machine.restart();
    expect((await boot({ fs })).action).toBe('mounted');
  });

  it('keeps an unencrypted volume the same way', async () => {
    await machine.addDisk('vdb', 48);
    const options = { fs, encrypted: false } as const;
    expect(await boot(options)).toEqual({ action: 'initialised' });
    machine.restart();
    // the label of the pool is a made-up one that libblkid does not know
    if (fs === 'ext4') expect(await boot(options)).toEqual({ action: 'mounted' });
    expect(machine.count('cryptsetup')).toBe(0);
  });

  it('with a wrong key changes nothing', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ fs });
    machine.restart();
    await expect(boot({ fs, key: OTHER_KEY })).rejects.toMatchObject({ code: 'LUKS_KEY_WRONG' });
    expect(formats()).toBe(0);
    machine.restart();
    expect((await boot({ fs })).action).toBe('mounted');
  });

  it('power cuts at every step of the first boot: the next boot always comes up', async () => {
    await machine.addDisk('vdb', 48);
    for (let step = 0; ; step++) {
      machine.restart();
      machine.cutAfter = step;
      const done = await boot({ fs }).catch((thrown) => {
        expect(thrown).toBeInstanceOf(PowerCut);
        return undefined;
      });
      if (done !== undefined) break;
      expect(step).toBeLessThan(40);
    }
    expect((await machine.mounts()).at(-1)?.mountPoint).toBe('/mnt/data');
    expect(machine.flags('vdb')).toBe(0n);
  });

  it('power cuts at every step of later boots: never formatted again', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ fs });
    for (let step = 0; ; step++) {
      machine.restart();
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

  it('make a marked volume that the next such boot makes anew', async () => {
    await machine.addDisk('vdb', 48);
    expect((await boot(none)).action).toBe('initialised');
    expect(machine.flags('vdb')).toBe(EPHEMERAL);
    machine.restart();
    expect((await boot({ ...none, key: OTHER_KEY })).action).toBe('reformatted-ephemeral');
    expect(machine.flags('vdb')).toBe(EPHEMERAL);
  });

  it('come up after a power cut at every step of a later boot', async () => {
    await machine.addDisk('vdb', 48);
    await boot(none);
    for (let step = 0; ; step++) {
      machine.restart();
      machine.cutAfter = step;
      if ((await boot({ ...none, key: OTHER_KEY }).catch(() => undefined)) !== undefined) break;
      expect(step).toBeLessThan(40);
      machine.restart();
      await boot({ ...none, key: new Uint8Array(32).fill(step) });
    }
  });

  it('never touch a volume of real keys', async () => {
    await machine.addDisk('vdb', 48);
    await boot();
    machine.restart();
    await expect(boot(none)).rejects.toMatchObject({ code: 'DISK_FOREIGN' });
    expect(formats()).toBe(0);
    machine.restart();
    expect((await boot()).action).toBe('mounted');
  });

  it('leave a volume behind that real keys refuse', async () => {
    await machine.addDisk('vdb', 48);
    await boot(none);
    machine.restart();
    await expect(boot()).rejects.toMatchObject({ code: 'DISK_FOREIGN', hint: expect.stringContaining('blank') });
    expect(formats()).toBe(0);
  });

  it('never touch a volume that is a whole disk: it has no place for the mark', async () => {
    await poke(await machine.addDisk('vdb', 48), 0, buildHeader());
    await expect(boot(none)).rejects.toMatchObject({ code: 'DISK_FOREIGN' });
    expect(formats()).toBe(0);
  });
});

describe('with the real tools for file systems', () => {
  it('makes, checks, grows and mounts ext4', async () => {
    const real = await FakeMachine.create({ realTools: true });
    try {
      machine = real;
      await machine.addDisk('vdb', 48);
      await boot();
      machine.restart();
      await machine.resizeDisk('vdb', 64);
      expect((await boot()).action).toBe('mounted');
      expect(machine.count('e2fsck -f -p')).toBe(1);
      machine.restart();
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
    expect(machine.count('umount /tmp/dstack-luks-header')).toBe(1);
    expect(formats()).toBe(0);
  });
});

describe('decide', () => {
  const base = { device: '/dev/vdb1', encrypted: true, ephemeral: false, fs: 'zfs' } as const;
  const clear = { initialising: false, ephemeral: false };
  const contents: Content[] = [
    ...(['luks', 'zfs', 'ext4', 'blank'] as const).map((kind) => ({ kind })),
    { kind: 'unknown', seen: 'x', foreign: true },
    { kind: 'unknown', seen: 'x', foreign: false },
  ];
  const outcome = (...args: Parameters<typeof decide>): string => {
    try {
      return decide(...args);
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
    expect(outcome({ ...base, encrypted: false }, { kind: 'luks' }, clear)).toBe('DISK_NOT_BLANK');
    expect(outcome(base, { kind: 'zfs' }, clear)).toBe('DISK_NOT_BLANK');
    expect(outcome({ ...base, encrypted: false }, { kind: 'ext4' }, clear)).toBe('DISK_NOT_BLANK');
    expect(outcome({ ...base, encrypted: false }, { kind: 'zfs' }, clear)).toBe('mounted');
  });

  it('does not take an ephemeral mark as leave to format a foreign file system', () => {
    const marks = { initialising: false, ephemeral: true };
    const none = { ...base, ephemeral: true };
    expect(outcome(none, { kind: 'unknown', seen: 'xfs', foreign: true }, marks)).toBe('DISK_NOT_BLANK');
    expect(outcome(none, { kind: 'ext4' }, marks)).toBe('DISK_NOT_BLANK');
    expect(outcome(none, { kind: 'unknown', seen: 'noise', foreign: false }, marks)).toBe('reformatted-ephemeral');
  });

  it('refuses throw-away keys on a device that cannot carry their mark', () => {
    expect(outcome({ ...base, ephemeral: true }, { kind: 'blank' }, undefined)).toBe('STORAGE_OPTION_INVALID');
    expect(outcome({ ...base, encrypted: false }, { kind: 'blank' }, undefined)).toBe('STORAGE_OPTION_INVALID');
    expect(outcome(base, { kind: 'blank' }, undefined)).toBe('initialised');
  });
});

describe('formatDataDisk', () => {
  it('refuses everything that is not blank, its own volumes too', async () => {
    await machine.addDisk('vdb', 48);
    await boot();
    await closeDataDisk({ mountPoint: '/mnt/data' }, machine);
    machine.restart();
    const options = { mountPoint: '/mnt/data', fs: 'ext4', encrypted: true, key: KEY, ephemeral: false } as const;
    await expect(formatDataDisk({ ...options, device: machine.path('vdb1') }, machine)).rejects.toMatchObject({
      code: 'DISK_NOT_BLANK',
    });
    expect(formats()).toBe(0);
  });
});

describe('growPartition', () => {
  it('grows the partition when the disk has grown, and writes nothing when it has not', async () => {
    await machine.addDisk('vdb', 48);
    await boot();
    machine.restart();
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(false);
    expect(machine.count('sgdisk')).toBe(0);
    await machine.resizeDisk('vdb', 96);
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(true);
    expect(machine.count('parted ---pretend-input-tty')).toBe(0);
    expect((await boot()).action).toBe('mounted');
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(false);
  });

  it('answers the question of parted when the partition is in use', async () => {
    await machine.addDisk('vdb', 48);
    await boot({ encrypted: false });
    await machine.resizeDisk('vdb', 96);
    expect(await growPartition(machine.path('vdb1'), machine)).toBe(true);
    expect(machine.count('parted ---pretend-input-tty')).toBe(1);
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

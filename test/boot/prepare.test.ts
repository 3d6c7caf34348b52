import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stepClock } from '../../src/boot/prepare/clock.ts';
import { mountOverlays } from '../../src/boot/prepare/overlays.ts';
import { readPrepared, writePrepared } from '../../src/boot/prepare/prepared.ts';
import { findTeeDevice, openConfigfs } from '../../src/boot/prepare/tee-device.ts';
import { prepare } from '../../src/boot/run.ts';
import { FakeBootMachine } from './fake-boot-machine.ts';

let machine: FakeBootMachine;
beforeEach(async () => {
  machine = new FakeBootMachine();
  await machine.begin();
  process.env['DSTACK_HOST_SHARED_DIR'] = machine.path('share');
});
afterEach(() => machine.end());

const dirs = (...names: string[]) => Promise.all(names.map((name) => mkdir(machine.path(name), { recursive: true })));
const file = async (name: string, text = '') => {
  await dirs(name.split('/').slice(0, -1).join('/'));
  await writeFile(machine.path(name), text);
};
const run = () => prepare(machine.dependencies());

describe('prepare', () => {
  it('leaves the device and its own phases for setup', async () => {
    await dirs('etc', 'usr', 'home', 'dev');
    await file('dev/tdx_guest');
    await run();
    const prepared = await readPrepared(machine.path('run/prepared.json'));
    expect(prepared?.device).toBe('/dev/vdb1');
    expect(prepared?.phases.map(({ name }) => name).sort()).toEqual([
      'check the clock',
      'choose the data disk',
      'find the TEE device',
      'grow the data partition',
      'make folders writable',
      'name the time servers',
      'open configfs',
      'step the clock',
    ]);
    expect(machine.steps).toEqual(['choose disk', 'check clock', 'grow']);
  });

  it('changes no partition while the clock is before the image, and says so', async () => {
    await file('dev/tdx_guest');
    const { DstackError } = await import('../../src/errors.ts');
    const dependencies = machine.dependencies({
      checkClock: () => Promise.reject(new DstackError('CLOCK_BEHIND', 'the clock says 1970')),
    });
    await expect(prepare(dependencies)).rejects.toMatchObject({ code: 'CLOCK_BEHIND' });
    expect(machine.steps).toEqual(['choose disk']);
    expect(machine.of('boot.error')).toEqual(['the clock says 1970 [CLOCK_BEHIND]']);
  });

  it('touches no disk without a TEE, and tells the host through the share', async () => {
    await expect(run()).rejects.toMatchObject({ code: 'TEE_NOT_FOUND' });
    expect(machine.steps).toEqual([]);
    expect(machine.commands.filter((command) => command.startsWith('mount'))).toEqual([]);
    expect(machine.of('boot.error')).toEqual([expect.stringContaining('no TEE device found')]);
  });

  it('reports a missing disk to the host', async () => {
    await file('dev/tdx_guest');
    const { DstackError } = await import('../../src/errors.ts');
    const dependencies = machine.dependencies({
      chooseDataDevice: () => Promise.reject(new DstackError('DISK_NOT_FOUND', 'no data disk', { path: '/dev/vdb' })),
    });
    await expect(prepare(dependencies)).rejects.toMatchObject({ code: 'DISK_NOT_FOUND' });
    expect(machine.of('boot.error')).toEqual(['no data disk (file /dev/vdb) [DISK_NOT_FOUND]']);
  });
});

describe('mountOverlays', () => {
  it('covers folders with volatile upper layers; links and covered ones stay', async () => {
    await dirs('etc', 'usr/bin', 'home');
    await symlink('usr/bin', machine.path('bin'));
    machine.mounted.add('/home');
    await mountOverlays(machine.bootMachine);
    expect(machine.commands.sort()).toEqual(
      ['/etc', '/usr'].map(
        (dir) =>
          `mount -t overlay overlay -o lowerdir=${dir},upperdir=/var/volatile/overlay${dir}/upper,workdir=/var/volatile/overlay${dir}/work ${dir}`,
      ),
    );
  });
});

describe('findTeeDevice', () => {
  it('finds a device node without loading anything', async () => {
    await file('dev/tdx_guest');
    expect(await findTeeDevice(machine.bootMachine)).toBe('tdx');
    expect(machine.commands).toEqual([]);
  });

  it('finds a TSM provider', async () => {
    await file('sys/kernel/config/tsm/report/com.intel.dcap/provider', 'tdx_guest\n');
    expect(await findTeeDevice(machine.bootMachine)).toBe('tdx');
    expect(machine.commands).toEqual([]);
  });

  it('loads the drivers in order until one brings up its device', async () => {
    const { bootMachine } = machine;
    const loading = {
      ...bootMachine,
      run: async (...[program, args, options]: Parameters<typeof bootMachine.run>) => {
        const done = await bootMachine.run(program, args, options);
        if (args[0] === 'tdx-guest') await file('dev/tdx_guest');
        return done;
      },
    };
    expect(await findTeeDevice(loading)).toBe('tdx');
    expect(machine.commands).toEqual(['modprobe sev-guest', 'modprobe tdx-guest']);
  });

  it.each(['dev/sev-guest', 'sys/kernel/config/tsm/report/x/provider'])(
    'refuses a machine with %s of SEV-SNP, which setup would refuse, before anything is mounted or written',
    async (path) => {
      await file(path, 'sev_guest\n');
      await expect(findTeeDevice(machine.bootMachine)).rejects.toMatchObject({ code: 'TEE_NOT_FOUND' });
      expect(machine.commands).toEqual([]);
    },
  );

  it.each([
    ['product_name', 'Google Compute Engine', 'gcp'],
    ['sys_vendor', 'Amazon EC2', 'aws-ec2'],
  ])('refuses a machine whose %s is %s, though it has a TDX device', async (attribute, text, platform) => {
    await file('dev/tdx_guest');
    await file(`sys/class/dmi/id/${attribute}`, `${text}\n`);
    await expect(findTeeDevice(machine.bootMachine)).rejects.toMatchObject({
      code: 'TEE_NOT_FOUND',
      message: `platform ${platform} is not served by this version`,
    });
  });

  it('does not take a driver that loads without a device for a TEE', async () => {
    await expect(findTeeDevice(machine.bootMachine)).rejects.toMatchObject({
      code: 'TEE_NOT_FOUND',
      path: '/dev/tdx_guest',
    });
  });
});

describe('openConfigfs', () => {
  it('mounts it and makes the report entry, once', async () => {
    await file('proc/filesystems', 'nodev\tsysfs\nnodev\tconfigfs\n');
    await file('dev/tdx_guest');
    await dirs('sys/kernel/config/tsm/report');
    await openConfigfs(machine.bootMachine);
    await openConfigfs(machine.bootMachine);
    expect(machine.commands).toEqual(['mount -t configfs configfs /sys/kernel/config']);
    await writeFile(machine.path('sys/kernel/config/tsm/report/com.intel.dcap/provider'), '');
  });

  it('does nothing for a kernel without configfs, and survives a missing report folder', async () => {
    await file('proc/filesystems', 'nodev\tsysfs\n');
    await openConfigfs(machine.bootMachine);
    expect(machine.commands).toEqual([]);
    await file('proc/filesystems', 'nodev\tconfigfs\n');
    await file('dev/tdx_guest');
    await openConfigfs(machine.bootMachine);
  });
});

it('a clock that cannot be stepped does not stop the boot', async () => {
  machine.failing.add('chronyc');
  await stepClock(machine.bootMachine);
  expect(machine.commands).toEqual(['chronyc makestep']);
});

describe('prepared.json', () => {
  it('survives the way to the next process, readable by root only', async () => {
    const path = machine.path('run/prepared.json');
    const prepared = { device: '/dev/vdb1', phases: [{ sequence: 'prepare', n: 1, of: 2, name: 'a', ms: 3 }] };
    await writePrepared(prepared, path);
    expect(await readPrepared(path)).toEqual(prepared);
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(prepared);
  });

  it('is absent before prepare has run, and refused when damaged', async () => {
    expect(await readPrepared(machine.path('none.json'))).toBeUndefined();
    await file('prepared.json', '{"device":1}');
    await expect(readPrepared(machine.path('prepared.json'))).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' });
  });
});

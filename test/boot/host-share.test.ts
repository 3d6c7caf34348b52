import { mkdir, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BootMachine } from '../../src/boot/boot-machine.ts';
import { findShareDevice, locateHostApi, mountHostShare, unmountHostShare } from '../../src/boot/host-share.ts';
import { FakeBootMachine } from './fake-boot-machine.ts';

let machine: FakeBootMachine;
let dir: string;

beforeEach(async () => {
  machine = new FakeBootMachine();
  await machine.begin();
  dir = machine.path('mnt');
});
afterEach(() => machine.end());

/** The machine with disks; blkid answers their labels. */
async function withDisks(labels: Record<string, string>): Promise<BootMachine> {
  const { bootMachine } = machine;
  for (const name of Object.keys(labels)) await mkdir(machine.path('sys/block', name), { recursive: true });
  return {
    ...bootMachine,
    run: async (program, args, options) => {
      const done = await bootMachine.run(program, args, options);
      if (program !== 'blkid') return done;
      const label = labels[(args.at(-1) ?? '').replace('/dev/', '')];
      return label ? { ...done, stdout: `${label}\n` } : { ...done, exit: 2 };
    },
  };
}

describe('the host share', () => {
  it('is the disk with the label', async () => {
    const bootMachine = await withDisks({ loop0: 'DSTACKSHR', vda: '', vdb: 'OTHER', vdc: 'DSTACKSHR' });
    await writeFile(machine.path('sys/block/loop0/size'), '0\n');
    expect(await findShareDevice(bootMachine)).toBe('/dev/vdc');
    await mountHostShare(dir, bootMachine);
    expect(machine.commands.at(-1)).toBe(`mount -t vfat -o ro,nosuid,nodev,noexec /dev/vdc ${dir}`);
  });

  it('is vfat or ext4 and nothing else that the kernel knows', async () => {
    const bootMachine = await withDisks({ vdc: 'DSTACKSHR' });
    await mkdir(machine.path('dev'), { recursive: true });
    const magic = (text: string, at: number): Buffer => Buffer.concat([Buffer.alloc(at), Buffer.from(text, 'latin1')]);
    const disks: [Buffer, string][] = [
      [magic('\x53\xef', 1080), 'ext4 -o ro,nosuid,nodev,noexec,noload'],
      [magic('mkfs.fat', 3), 'vfat -o ro,nosuid,nodev,noexec'],
      [magic('XFSB', 0), 'vfat -o ro,nosuid,nodev,noexec'],
      [magic('_BHRfS_M', 65_600), 'vfat -o ro,nosuid,nodev,noexec'],
      [magic('hsqs', 0), 'vfat -o ro,nosuid,nodev,noexec'],
      [Buffer.alloc(0), 'vfat -o ro,nosuid,nodev,noexec'],
    ];
    for (const [bytes, how] of disks) {
      await writeFile(machine.path('dev/vdc'), bytes);
      await mountHostShare(dir, bootMachine);
      expect(machine.commands.at(-1)).toBe(`mount -t ${how} /dev/vdc ${dir}`);
      machine.mounted.clear();
    }
  });

  it('is found by the link of udev without asking every disk', async () => {
    await mkdir(machine.path('dev/disk/by-label'), { recursive: true });
    await writeFile(machine.path('dev/disk/by-label/DSTACKSHR'), '');
    expect(await findShareDevice(machine.bootMachine)).toBe('/dev/disk/by-label/DSTACKSHR');
    expect(machine.commands).toEqual([]);
  });

  it('is the 9p share when there is no disk', async () => {
    await mountHostShare(dir, machine.bootMachine);
    expect(machine.commands).toEqual([
      `mount -t 9p -o trans=virtio,version=9p2000.L,ro,nosuid,nodev,noexec host-shared ${dir}`,
    ]);
  });

  it('is the 9p share when the disk cannot be mounted, and an error when there is neither', async () => {
    const bootMachine = await withDisks({ vdc: 'DSTACKSHR' });
    machine.failing.add('mount -t vfat');
    await mountHostShare(dir, bootMachine);
    machine.mounted.clear();
    machine.failing.add('mount -t 9p');
    await expect(mountHostShare(dir, bootMachine)).rejects.toMatchObject({
      code: 'HOST_SHARE_MISSING',
      message: expect.stringContaining('disk /dev/vdc cannot be mounted'),
    });
  });

  it('is unmounted once, and that twice is no error', async () => {
    await mountHostShare(dir, machine.bootMachine);
    await unmountHostShare(dir, machine.bootMachine);
    await unmountHostShare(dir, machine.bootMachine);
    expect(machine.commands.filter((command) => command.startsWith('umount'))).toHaveLength(1);
  });
});

describe('locateHostApi', () => {
  it('mounts the share for a moment and leaves nothing behind', async () => {
    const { bootMachine } = machine;
    const mounting: BootMachine = {
      ...bootMachine,
      run: async (program, args, options) => {
        const done = await bootMachine.run(program, args, options);
        if (program === 'mount') await writeFile(`${dir}/.sys-config.json`, '{"host_api_url":"vsock://2:7/api"}');
        return done;
      },
    };
    process.env['DSTACK_HOST_SHARED_DIR'] = machine.path('none');
    expect(await locateHostApi(mounting, dir)).toBe('vsock://2:7/api');
    expect(machine.mounted.size).toBe(0);
  });

  it('prefers what is there already', async () => {
    process.env['DSTACK_HOST_SHARED_DIR'] = machine.path('share');
    expect(await locateHostApi(machine.bootMachine, dir)).toBe('unix:/host.sock');
    expect(machine.commands).toEqual([]);
  });
});

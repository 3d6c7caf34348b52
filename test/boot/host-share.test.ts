import { mkdir, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Os } from '../../src/boot/boot-machine.ts';
import { findShareDevice, locateHostApi, mountHostShare, unmountHostShare } from '../../src/boot/host-share.ts';
import { FakeMachine } from './fake-machine.ts';

let machine: FakeMachine;
let dir: string;

beforeEach(async () => {
  machine = new FakeMachine();
  await machine.begin();
  dir = machine.path('mnt');
});
afterEach(() => machine.end());

/** The machine with disks; blkid answers their labels. */
async function withDisks(labels: Record<string, string>): Promise<Os> {
  const { os } = machine;
  for (const name of Object.keys(labels)) await mkdir(machine.path('sys/block', name), { recursive: true });
  return {
    ...os,
    run: async (program, args, options) => {
      const done = await os.run(program, args, options);
      if (program !== 'blkid') return done;
      const label = labels[(args.at(-1) ?? '').replace('/dev/', '')];
      return label ? { ...done, stdout: `${label}\n` } : { ...done, exit: 2 };
    },
  };
}

describe('the host share', () => {
  it('is the disk with the label', async () => {
    const os = await withDisks({ loop0: 'DSTACKSHR', vda: '', vdb: 'OTHER', vdc: 'DSTACKSHR' });
    await writeFile(machine.path('sys/block/loop0/size'), '0\n');
    expect(await findShareDevice(os)).toBe('/dev/vdc');
    await mountHostShare(dir, os);
    expect(machine.commands.at(-1)).toBe(`mount -o ro,nosuid,nodev,noexec /dev/vdc ${dir}`);
  });

  it('is found by the link of udev without asking every disk', async () => {
    await mkdir(machine.path('dev/disk/by-label'), { recursive: true });
    await writeFile(machine.path('dev/disk/by-label/DSTACKSHR'), '');
    expect(await findShareDevice(machine.os)).toBe('/dev/disk/by-label/DSTACKSHR');
    expect(machine.commands).toEqual([]);
  });

  it('is the 9p share when there is no disk', async () => {
    await mountHostShare(dir, machine.os);
    expect(machine.commands).toEqual([
      `mount -t 9p -o trans=virtio,version=9p2000.L,ro,nosuid,nodev,noexec host-shared ${dir}`,
    ]);
  });

  it('is the 9p share when the disk cannot be mounted, and an error when there is neither', async () => {
    const os = await withDisks({ vdc: 'DSTACKSHR' });
    machine.failing.add('mount -o');
    await mountHostShare(dir, os);
    machine.mounted.clear();
    machine.failing.add('mount -t 9p');
    await expect(mountHostShare(dir, os)).rejects.toMatchObject({
      code: 'HOST_SHARE_MISSING',
      message: expect.stringContaining('disk /dev/vdc cannot be mounted'),
    });
  });

  it('is unmounted once, and that twice is no error', async () => {
    await mountHostShare(dir, machine.os);
    await unmountHostShare(dir, machine.os);
    await unmountHostShare(dir, machine.os);
    expect(machine.commands.filter((command) => command.startsWith('umount'))).toHaveLength(1);
  });
});

describe('locateHostApi', () => {
  it('mounts the share for a moment and leaves nothing behind', async () => {
    const { os } = machine;
    const mounting: Os = {
      ...os,
      run: async (program, args, options) => {
        const done = await os.run(program, args, options);
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
    expect(await locateHostApi(machine.os, dir)).toBe('unix:/host.sock');
    expect(machine.commands).toEqual([]);
  });
});

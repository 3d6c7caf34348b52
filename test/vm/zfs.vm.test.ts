/** The complete way on an encrypted ZFS volume, with swap. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEMO_PORT } from '../../initramfs/demo/app-compose.ts';
import { askDemo, readMeasurements, replays } from '../../initramfs/vm/checks.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import { boot, payloads } from './support.ts';

describe.sequential('zfs', () => {
  let vm: Machine;
  beforeAll(async () => {
    vm = await boot('zfs', { zfs: true, app: { storage_fs: 'zfs', swap_size: '64M' } });
    await vm.waitFor({ event: 'boot.progress', payload: 'done' }, 840_000);
  });
  afterAll(() => vm?.stop());

  it('boots to an app that has keys and quotes', async () => {
    expect(payloads(vm, 'boot.error')).toEqual([]);
    expect(await askDemo(vm, DEMO_PORT)).toMatchObject({ quote_contains_report_data: true });
    const measured = await readMeasurements(vm);
    expect(replays(measured)).toBe(true);
  });

  it('keeps the data in a healthy pool on the encrypted device, with checksums and swap', async () => {
    expect(await vm.ok('zpool status -P dstack')).toMatch(/state: ONLINE[\s\S]*\/dev\/mapper\/dstack_data_disk/);
    expect(await vm.ok('zfs get -H -o value checksum,mounted dstack/data')).toBe('blake3\nyes');
    expect(await vm.ok('swapon --show=NAME,SIZE --noheadings')).toMatch(/\/dev\/zd\d+\s+64M/);
    expect(await vm.ok('docker info -f "{{.Driver}} {{.DockerRootDir}}"')).toMatch(/^\S+ \/var\/lib\/docker$/);
  });

  it('exports the pool at power off', async () => {
    expect(await vm.stop()).toBe('clean');
    expect(vm.console.text).not.toMatch(/error \[/);
  });
});

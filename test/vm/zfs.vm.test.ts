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

  it('has the disk key in no journal, environment or argument list', async () => {
    const found = await vm.ok(
      [
        'key=$(sed \'s/.*"disk_crypt_key":"\\([0-9a-f]*\\)".*/\\1/\' /dstack/.host-shared/.appkeys.json)',
        '[ $(printf %s $key | wc -c) = 64 ] || exit 1; part=$(echo $key | cut -c9-40)',
        'journalctl --no-pager -o export >/run/journal.txt; cat /run/log/dstack/*.jsonl >>/run/journal.txt',
        "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' >>/run/journal.txt",
        // one line of the journal proves that it was read; the key must not be in it, whole or in part
        'grep -c cryptsetup /run/journal.txt; grep -ci $part /run/journal.txt; rm /run/journal.txt',
      ].join('\n'),
      { timeoutMs: 240_000 },
    );
    const [journal, key] = found.split('\n').map(Number);
    expect(journal).toBeGreaterThan(0);
    expect(key).toBe(0);
    expect(vm.console.text).not.toMatch(/disk_crypt_key/);
  });

  it('exports the pool at power off', async () => {
    expect(await vm.stop()).toBe('clean');
    expect(vm.console.text).not.toMatch(/error \[/);
  });
});

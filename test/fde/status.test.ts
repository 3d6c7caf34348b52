import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { closeDataDisk } from '../../src/fde/close.ts';
import { mountExisting, openDataDisk } from '../../src/fde/data-disk.ts';
import { growVolume } from '../../src/fde/grow-volume.ts';
import { diskStatus } from '../../src/fde/status.ts';
import { statusText } from '../../src/fde/status-text.ts';
import { FakeDiskMachine, poke } from './fake-disk-machine.ts';
import { buildHeader, goodJson } from './header-builder.ts';

const KEY = new Uint8Array(32).fill(7);
let machine: FakeDiskMachine;
let device: string;
beforeEach(async () => {
  machine = await FakeDiskMachine.create();
  await machine.addDisk('vdb', 48);
  device = await machine.addPartition('vdb', 1, 'dstack-data', 40);
});
afterEach(() => machine.destroy());

const options = { mountPoint: '/mnt/data', fs: 'ext4', encrypted: true, ephemeral: false, key: KEY } as const;

describe('diskStatus', () => {
  it('of a blank partition', async () => {
    const status = await diskStatus(undefined, machine);
    expect(status).toMatchObject({ device, mark: null, content: { kind: 'blank' }, header: null, mapper: null });
    expect(statusText(status)).toContain('nothing: it is blank');
  });

  it('of an open volume: header, one key slot, mark, mount', async () => {
    await openDataDisk({ ...options, device }, machine);
    const status = await diskStatus(device, machine);
    expect(status).toMatchObject({
      size: 40 * 1024 * 1024,
      partition: { number: 1, label: 'dstack-data' },
      mark: { initialising: false, ephemeral: false },
      header: { accepted: true, keySlots: 1, iterations: 1000, rule: null },
      mountPoints: ['/mnt/data'],
    });
    expect(status.header?.uuid).toBe(status.mark?.uuid);
    expect(statusText(status)).toMatch(/key slots +1/);
  });

  it('of a rejected header: the rule and what it says', async () => {
    const json = goodJson();
    json.keyslots['1'] = json.keyslots['0'];
    await poke(device, 0, buildHeader({ json }));
    const { header } = await diskStatus(device, machine);
    expect(header).toMatchObject({ accepted: false, keySlots: 2, rule: 'copy 0 keyslots.1' });
    expect(statusText(await diskStatus(device, machine))).toContain('rejected');
  });

  it('changes nothing', async () => {
    await openDataDisk({ ...options, device }, machine);
    await machine.restart();
    await diskStatus(device, machine);
    expect(machine.calls.filter((call) => !/^(blkid|wipefs --no-act)/.test(call))).toEqual([]);
  });
});

describe('commands by hand, twice', () => {
  it('open: only the key is checked the second time', async () => {
    await openDataDisk({ ...options, device }, machine);
    machine.calls.length = 0;
    expect(await mountExisting({ ...options, device }, machine)).toMatchObject({ action: 'mounted' });
    expect(machine.count('luksOpen', '--test-passphrase')).toBe(1);
    expect(machine.count('luksOpen')).toBe(1);
    const other = new Uint8Array(32).fill(9);
    await expect(mountExisting({ ...options, device, key: other }, machine)).rejects.toMatchObject({
      code: 'LUKS_KEY_WRONG',
    });
  });

  it('open: not while another volume is open', async () => {
    await openDataDisk({ ...options, device }, machine);
    await machine.addDisk('vdc', 48);
    const second = await machine.addPartition('vdc', 1, 'other', 40);
    await expect(mountExisting({ ...options, device: second }, machine)).rejects.toMatchObject({
      code: 'LUKS_OPEN_FAILED',
    });
  });

  it('close', async () => {
    await openDataDisk({ ...options, device }, machine);
    for (let i = 0; i < 2; i++) await closeDataDisk({ mountPoint: '/mnt/data' }, machine);
  });

  it('grow: what is open grows too, by its checked header', async () => {
    expect(await growVolume({ ...options, device }, machine)).toMatch(/volume not open/);
    await openDataDisk({ ...options, device }, machine);
    for (let i = 0; i < 2; i++) expect(await growVolume({ ...options, device }, machine)).toMatch(/file system grown/);
    expect(machine.count('cryptsetup resize', '--header')).toBe(2);
    expect(machine.count('resize2fs')).toBe(2);
  });
});

import { describe, expect, it } from 'vitest';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { storageOptions } from '../../src/config/storage-options.ts';

const options = (cmdline: string, storageFs?: string, swapSize = 0) =>
  storageOptions(parseCmdline(cmdline), { swapSize, ...(storageFs === undefined ? {} : { storageFs }) });

describe('storageOptions', () => {
  it('is encrypted zfs by default', () => {
    expect(options('quiet')).toEqual({ encrypted: true, fs: 'zfs', departsFromDefault: [] });
  });

  it('takes the last occurrence, in any letter case', () => {
    const text = 'dstack.storage_encrypted=1 dstack.storage_encrypted=OFF dstack.storage_fs=zfs dstack.storage_fs=Ext4';
    expect(options(text)).toEqual({ encrypted: false, fs: 'ext4', departsFromDefault: ['not encrypted', 'ext4'] });
  });

  it.each(['1', 'true', 'yes', 'on', 'True'])('%s means encrypted', (word) => {
    expect(options(`dstack.storage_encrypted=${word}`).encrypted).toBe(true);
  });
  it.each(['0', 'false', 'no', 'off'])('%s means not encrypted', (word) => {
    expect(options(`dstack.storage_encrypted=${word}`).encrypted).toBe(false);
  });

  it('lets app-compose win', () => {
    expect(options('dstack.storage_fs=ext4', 'ZFS').fs).toBe('zfs');
    expect(options('', 'ext4').fs).toBe('ext4');
  });

  it.each([
    ['dstack.storage_encrypted=2', undefined, 'dstack.storage_encrypted', '2'],
    ['dstack.storage_encrypted=', undefined, 'dstack.storage_encrypted', ''],
    ['dstack.storage_fs=xfs', 'zfs', 'dstack.storage_fs', 'xfs'],
    ['', 'btrfs', 'storage_fs', 'btrfs'],
    ['', '', 'storage_fs', ''],
  ])('refuses %s with storage_fs %s', (cmdline, fs, field, value) => {
    expect(() => options(cmdline, fs)).toThrow(
      expect.objectContaining({ code: 'STORAGE_OPTION_INVALID', field, value }),
    );
  });

  it('refuses swap on a disk that is not encrypted: the host would read the memory', () => {
    for (const fs of ['zfs', 'ext4']) {
      expect(() => options('dstack.storage_encrypted=0', fs, 1)).toThrow(
        expect.objectContaining({ code: 'STORAGE_OPTION_INVALID', field: 'swap_size', value: '1' }),
      );
    }
    expect(options('dstack.storage_encrypted=0', 'ext4', 0).encrypted).toBe(false);
    expect(options('', 'ext4', 1).encrypted).toBe(true);
  });
});

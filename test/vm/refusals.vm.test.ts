/**
 * What must stop a boot, tried by hand in one VM in which nothing was started: no TEE device, a foreign disk in the place
 * of the data disk. Every refusal is one error with a code, told to the host, and changes no disk.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { demoAppCompose } from '../../initramfs/demo/app-compose.ts';
import { ensureDisk, fingerprint, writeDisk } from '../../initramfs/vm/disk.ts';
import type { Machine } from '../../initramfs/vm/machine.ts';
import type { Disk } from '../../initramfs/vm/qemu.ts';
import { haltsWithReason } from './boot-failed.ts';
import { boot, fails, payloads, THAWED, vmDir } from './support.ts';

const MIB = 1024 * 1024;
const disk = (name: string): string => join(vmDir('refusals'), `${name}.img`);
/** /dev/vdb: somebody's data somewhere in the middle; /dev/vdc, /dev/vdd: blank */
const foreign: Disk = { file: disk('foreign') };
const blank: Disk = { file: disk('blank') };
const clear: Disk = { file: disk('clear') };

let vm: Machine;
beforeAll(async () => {
  for (const { file } of [foreign, blank, clear]) {
    await rm(file, { force: true });
    await ensureDisk(file, { size: 256 * MIB });
  }
  // just behind a place where many tools stop looking
  await writeDisk(foreign.file, 8 * MIB, Buffer.from('photographs of the last summer'));
  vm = await boot('refusals', {
    ...THAWED,
    dataDisk: 'none',
    shareMode: '9p',
    extraDisks: [foreign, blank, clear],
    // for the last test; nothing before it gets as far as the data disk of a boot
    kernelArgs: ['dstack.storage_encrypted=0'],
  });
  await vm.ok('systemctl start systemd-networkd', { timeoutMs: 120_000 });
});
afterAll(() => vm?.kill().then(() => vm.stop()));

describe.sequential('a machine without TEE device', () => {
  it('is refused before any disk is touched', async () => {
    const before = await fingerprint(foreign.file);
    await fails(vm, 'dstack-util prepare', 'TEE_NOT_FOUND');
    await fails(vm, 'head -c 64 /dev/zero | dstack-util quote', 'TEE_NOT_FOUND');
    expect(await fingerprint(foreign.file)).toBe(before);
  });
});

describe.sequential('with the TEE device', () => {
  beforeAll(async () => {
    await vm.ok('systemctl start dstack-tdx-sim', { timeoutMs: 120_000 });
  });

  it('refuses a data disk that holds something else, and does not touch it', async () => {
    const before = await fingerprint(foreign.file);
    expect(await fails(vm, 'dstack-util prepare', 'DISK_NOT_BLANK')).toContain('/dev/vdb');
    expect(await fingerprint(foreign.file)).toBe(before);
  });

  interface Case {
    readonly what: string;
    readonly files: Record<string, string>;
    readonly code: string;
    /** what the message must name */
    readonly names: readonly string[];
  }
  const app = (changes: Record<string, unknown>) => JSON.stringify(demoAppCompose(changes));
  const sys = JSON.stringify({ host_api_url: 'http://10.0.2.100:80/api', vm_config: '{}' });
  const cases: Case[] = [
    {
      what: 'no JSON',
      files: { 'app-compose.json': '{"name": "x",}' },
      code: 'JSON_INVALID',
      names: ['app-compose.json'],
    },
    {
      what: 'a duplicate key',
      files: { 'app-compose.json': app({}).replace('{', '{"runner":"bash",') },
      code: 'JSON_INVALID',
      names: ['app-compose.json', 'runner'],
    },
    {
      what: 'a wrong type',
      files: { 'app-compose.json': app({ public_logs: 'yes' }) },
      code: 'DOCUMENT_INVALID',
      names: ['app-compose.json', 'public_logs', 'yes'],
    },
    {
      what: 'a manifest of the future',
      files: { 'app-compose.json': app({ manifest_version: '4' }) },
      code: 'MANIFEST_UNSUPPORTED',
      names: ['manifest_version', '4'],
    },
    {
      what: 'an unmet requirement',
      files: { 'app-compose.json': app({ manifest_version: '3', requirements: { os_version: '>=99' } }) },
      code: 'REQUIREMENT_UNMET',
      names: ['os_version', '>=99'],
    },
    {
      what: 'a damaged instance info',
      files: { 'app-compose.json': app({}), '.instance_info': '{"app_id":"abc"}' },
      code: 'DOCUMENT_INVALID',
      names: ['.instance_info', 'app_id'],
    },
    {
      what: 'a missing document',
      files: {},
      code: 'FILE_NOT_FOUND',
      names: ['app-compose.json'],
    },
  ];

  it.each(cases)('stops at $what', async ({ files, code, names }) => {
    const before = await fingerprint(blank.file);
    const share = '/run/test-share';
    const write = Object.entries({ '.sys-config.json': sys, ...files }).map(
      ([name, text]) => `echo ${Buffer.from(text).toString('base64')} | base64 -d >${share}/${name}`,
    );
    await vm.ok(['rm -rf /run/test-*', `mkdir -p ${share} /run/test-work`, ...write].join('\n'));
    const told = payloads(vm, 'boot.error').length;
    const setup = 'dstack-util setup --work-dir /run/test-work --device /dev/vdc --mount-point /run/test-data';
    const message = await fails(vm, `${setup} --host-shared ${share}`, code);
    for (const name of names) expect(message).toContain(name);
    const [error, ...more] = payloads(vm, 'boot.error').slice(told);
    expect(more).toEqual([]);
    for (const name of [code, ...names]) expect(error).toContain(name);
    expect(await fingerprint(blank.file)).toBe(before);
  });

  it('refuses a wrong key without changing the volume, and takes the right one', async () => {
    const volume = (command: string, key: string, device: string) =>
      `echo ${key.repeat(32)} | dstack-util fde ${command} --device ${device} --key-file - --fs ext4 --mount-point /run/m`;
    await vm.ok(volume('format', '11', '/dev/vdc'), { timeoutMs: 110_000 });
    const before = await fingerprint(blank.file);
    await fails(vm, volume('open', '22', '/dev/vdc1'), 'LUKS_KEY_WRONG');
    expect(await fingerprint(blank.file)).toBe(before);
    await vm.ok(volume('open', '11', '/dev/vdc1'));
    expect(await vm.ok('findmnt -no SOURCE /run/m')).toContain('/dev/mapper/');
    await vm.ok('dstack-util fde close --mount-point /run/m');
    await fails(vm, volume('format', '33', '/dev/vdc1'), 'DISK_NOT_BLANK');
  });

  it('measures storage without encryption, refuses it where an encrypted volume lies, and mends a torn superblock', async () => {
    const share = '/run/test-share';
    const setup = (device: string) =>
      `dstack-util setup --work-dir /run/test-work --device ${device} --mount-point /run/test-data --host-shared ${share}`;
    const write = (name: string, text: string) =>
      `echo ${Buffer.from(text).toString('base64')} | base64 -d >${share}/${name}`;
    await vm.ok(
      [
        `rm -rf /run/test-*; mkdir -p ${share} /run/test-work /run/test-data`,
        write('.sys-config.json', sys),
        write('app-compose.json', app({})),
        'sgdisk -n 1:1MiB:0 -c 1:dstack-data /dev/vdd >/dev/null; blockdev --rereadpt /dev/vdd; udevadm settle',
      ].join('\n'),
    );
    const before = await fingerprint(blank.file);
    expect(await fails(vm, setup('/dev/vdc1'), 'DISK_NOT_BLANK', 120_000)).toContain('encrypted volume');
    expect(await fingerprint(blank.file)).toBe(before);
    const untouched = await fingerprint(clear.file);
    await vm.ok(write('app-compose.json', app({ swap_size: '64M' })));
    expect(await fails(vm, setup('/dev/vdd1'), 'STORAGE_OPTION_INVALID', 120_000)).toContain('not encrypted');
    expect(await fingerprint(clear.file)).toBe(untouched);
    await vm.ok(write('app-compose.json', app({})));
    await vm.ok(setup('/dev/vdd1'), { timeoutMs: 120_000 });
    expect(await vm.ok('findmnt -no FSTYPE,SOURCE /run/test-data')).toMatch(/^ext4 +\/dev\/vdd1$/);
    expect(await vm.ok('dstack-util eventlog')).toContain('storage-unencrypted');
    await vm.ok('echo kept >/run/test-data/kept; dstack-util fde close --mount-point /run/test-data');

    // a superblock whose halves a power cut took from two versions: a checksum that is not its own
    await vm.ok(`head -c 4 /dev/zero | dd of=/dev/vdd1 bs=1 seek=${1024 + 1020} conv=notrunc,fsync status=none`);
    const told = await vm.ok(`${setup('/dev/vdd1')} 2>&1`, { timeoutMs: 120_000 });
    expect(told).toContain('/dev/vdd1: a power cut tore the superblock, it is repaired');
    expect(await vm.ok('cat /run/test-data/kept')).toBe('kept');
    await vm.ok('dstack-util fde close --mount-point /run/test-data');
  });

  it('says so when there is no data disk at all', async () => {
    await vm.ok('for d in vdb vdc vdd; do echo 1 >/sys/block/$d/device/../remove; done; udevadm settle');
    expect(await fails(vm, 'dstack-util prepare', 'DISK_NOT_FOUND')).toContain('/dev/vdb');
  });

  it('halts with the reason on the console where prod would restart for nothing', () =>
    haltsWithReason(vm, 'DISK_NOT_FOUND'));
});

import { createHash } from 'node:crypto';
import { mkdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { prepare, setup } from '../../src/boot/run.ts';
import { DstackError } from '../../src/errors.ts';
import * as ui from '../../src/ui.ts';
import { rejection } from '../failure.ts';
import { COMPOSE, FakeBootMachine, SYS_CONFIG } from './fake-boot-machine.ts';

let machine: FakeBootMachine;
let printed: string;

beforeEach(async () => {
  machine = new FakeBootMachine();
  await machine.begin();
  printed = '';
  vi.spyOn(ui, 'output').mockImplementation(async (text) => {
    printed += text;
  });
});
afterEach(() => machine.end());

const boot = (options = {}) => setup({ ...machine.options, ...options }, machine.dependencies());
const names = () => machine.events.map(({ event }) => event);
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest();
const mode = async (path: string) => ((await stat(machine.path(path))).mode & 0o777).toString(8);

describe('setup', () => {
  it('measures in the documented order', async () => {
    const scripts = ['echo one', 'echo two'];
    await machine.share('app-compose.json', { ...COMPOSE, manifest_version: '3', init_script: scripts });
    await boot();
    expect(names()).toEqual([
      'system-preparing',
      'app-id',
      'compose-hash',
      'init-script-hash',
      'init-script-hash',
      'gpu-policy-hash',
      'instance-id',
      'boot-mr-done',
      'key-provider',
      'storage-fs',
      'system-ready',
    ]);
    const payload = (index: number) => Buffer.from(machine.events[index]?.payload ?? '');
    const composeHash = sha256(await readFile(machine.path('share/app-compose.json')));
    expect(payload(1)).toEqual(composeHash.subarray(0, 20));
    expect(payload(2)).toEqual(composeHash);
    expect([payload(3), payload(4)]).toEqual(scripts.map(sha256));
    expect(payload(5)).toEqual(sha256('{}'));
    expect(payload(6)).toHaveLength(20);
    expect(payload(8).toString()).toBe('{"name":"none","id":""}');
    expect(payload(9).toString()).toBe('zfs');
  });

  it('does everything in the documented order', async () => {
    await boot();
    expect(machine.steps.filter((step) => !/^event (?!boot-mr|key-prov|storage|system-ready)/.test(step))).toEqual([
      'event boot-mr-done',
      'attestation', // inside the CA certificate: shows the log up to boot-mr-done
      'quote', // for MR_CONFIG_ID
      'event key-provider',
      'event storage-fs',
      'disk /dev/vdb1 zfs encrypted true',
      'swap 0',
      'event system-ready',
      'report',
      'registry none',
    ]);
  });

  it('asks no program twice for the same answer', async () => {
    await mkdir(machine.path('dev'));
    for (const dir of ['etc', 'usr', 'home']) await mkdir(machine.path(dir));
    await writeFile(machine.path('dev/tdx_guest'), '');
    await machine.share('app-compose.json', { ...COMPOSE, secure_time: true });
    await prepare(machine.dependencies());
    await boot();
    expect(machine.commands).toContain('chronyc makestep'); // both parts of the boot
    expect(new Set(machine.commands).size).toBe(machine.commands.length);
  });

  it('tells the host what the VMM knows, in order', async () => {
    await boot();
    const known = machine.told.filter(([event]) => event !== 'boot.phase');
    expect(known.map(([event, payload]) => (event === 'boot.progress' ? payload : event))).toEqual([
      'requesting app keys',
      'initializing data disk',
      'instance.info',
      'data disk ready',
      'setting up dstack-gateway',
      'setting up docker',
    ]);
    const info = JSON.parse(machine.of('instance.info')[0] ?? '');
    expect(Object.keys(info)).toEqual(['instance_id_seed', 'instance_id', 'app_id']);
    const event = machine.events.find((one) => one.event === 'instance-id');
    expect(info.instance_id).toBe(Buffer.from(event?.payload ?? '').toString('hex'));
    const expected = sha256(Buffer.from(info.instance_id_seed + info.app_id, 'hex')).subarray(0, 20);
    expect(info.instance_id).toBe(expected.toString('hex'));
  });

  it('writes keys readable by root only, environment, links and the agent configuration', async () => {
    await boot();
    expect(await mode('work/.host-shared/.appkeys.json')).toBe('600');
    const keys = JSON.parse(await readFile(machine.path('work/.host-shared/.appkeys.json'), 'utf8'));
    // the disk has been opened with its key, which nobody reads again; the reference's agent demands the field
    expect(machine.diskKey).toMatch(/^[0-9a-f]{64}$/);
    expect(keys.disk_crypt_key).toBe('');
    expect(keys.ca_cert).toContain('BEGIN CERTIFICATE');
    expect(await readFile(machine.path('work/.host-shared/.decrypted-env'), 'utf8')).toBe('');
    expect(await readFile(machine.path('work/.host-shared/.decrypted-env.json'), 'utf8')).toBe('{}');
    expect(await readlink(machine.path('work/app-compose.json'))).toBe('.host-shared/app-compose.json');
    expect(await readlink(machine.path('work/user_config'))).toBe('.host-shared/.user-config');
    expect(JSON.parse(await readFile(machine.path('work/agent.json'), 'utf8'))).toEqual({
      default: { core: { data_disks: ['/', machine.path('work/persistent')] } },
    });
    expect(process.env['DSTACK_HOST_SHARED_DIR']).toBe(machine.path('work/.host-shared'));
  });

  it('wipes the keys before the app starts', async () => {
    let key = new Uint8Array();
    const { openDataDisk } = machine.services;
    const dependencies = machine.dependencies({
      openDataDisk: (options) => {
        key = options.key as Uint8Array<ArrayBuffer>;
        return openDataDisk(options);
      },
    });
    await setup(machine.options, dependencies);
    expect(machine.diskKey).not.toBe(sha256(new Uint8Array(32)).toString('hex'));
    expect(key).toEqual(new Uint8Array(32));
  });

  it('prints the identity for the journal', async () => {
    await boot();
    const info = JSON.parse(printed);
    expect(info.os_image_hash).toBe('abcd');
    expect(info.compose_hash).toBe(sha256(JSON.stringify(COMPOSE)).toString('hex'));
  });

  it('keeps a stored app id, and makes no instance id when the app wants none', async () => {
    await machine.share('.instance_info', { app_id: '11'.repeat(20) });
    await machine.share('app-compose.json', { ...COMPOSE, no_instance_id: true });
    await boot();
    expect(Buffer.from(machine.events[1]?.payload ?? '').toString('hex')).toBe('11'.repeat(20));
    expect(machine.events.find(({ event }) => event === 'instance-id')?.payload).toHaveLength(0);
  });

  it('measures an unencrypted disk as what it is', async () => {
    machine.cmdline = 'dstack.storage_encrypted=0 dstack.storage_fs=ext4';
    await boot();
    expect(names().slice(-3)).toEqual(['storage-fs', 'storage-unencrypted', 'system-ready']);
    expect(machine.steps).toContain('disk /dev/vdb1 ext4 plain true');
  });

  it('waits for the clock before anything is measured, if the app wants secure time', async () => {
    await machine.share('app-compose.json', { ...COMPOSE, secure_time: true });
    machine.failing.add('chronyc waitsync 1 0.1 0 0');
    expect((await rejection(boot())).code).toBe('COMMAND_FAILED');
    expect(names()).toEqual([]);
  });

  it('does not ask for the time at all without secure time', async () => {
    await boot();
    expect(machine.commands.filter((one) => one.startsWith('chronyc'))).toEqual([]);
  });

  it('boots on when the gateway does not take it, and says so', async () => {
    await machine.share('app-compose.json', { ...COMPOSE, gateway_enabled: true });
    const joinGateway = async () => {
      throw new DstackError('GATEWAY_UNREACHABLE', 'all of them are down', { cause: new Error('connection refused') });
    };
    await setup(machine.options, machine.dependencies({ joinGateway }));
    expect(machine.of('boot.error')).toEqual([
      'dstack-gateway registration failed, the app has no ingress route: all of them are down: connection refused',
    ]);
    expect(machine.steps.at(-1)).toBe('registry none');
  });

  it('joins the gateway only when the app wants one', async () => {
    await boot();
    expect(machine.steps).not.toContain('join the gateway');
  });

  it('joins the gateway before docker is configured', async () => {
    await machine.share('app-compose.json', { ...COMPOSE, gateway_enabled: true });
    await boot();
    expect(machine.steps.slice(-2)).toEqual(['join the gateway', 'registry none']);
  });

  it('takes over from prepare: the device, and its phases for the host', async () => {
    const { writePrepared } = await import('../../src/boot/prepare/prepared.ts');
    const phase = { sequence: 'prepare', n: 1, of: 1, name: 'x', ms: 5 };
    await writePrepared({ device: '/dev/vdz', phases: [phase] }, machine.path('run/prepared.json'));
    const { device: _, ...options } = machine.options;
    await setup(options, machine.dependencies());
    expect(machine.steps).toContain('disk /dev/vdz zfs encrypted true');
    expect(machine.of('boot.phase')).toContain(JSON.stringify(phase));
  });
});

describe('setup refuses', () => {
  type Case = [string, () => Promise<void> | void, Partial<DstackError>];
  const cases: Case[] = [
    [
      'app-compose.json that is not JSON',
      () => machine.share('app-compose.json', '{"name": '),
      { code: 'JSON_INVALID', path: 'app-compose.json' },
    ],
    [
      'a missing field',
      () => machine.share('app-compose.json', { ...COMPOSE, name: undefined }),
      { code: 'DOCUMENT_INVALID', path: 'app-compose.json', field: 'name' },
    ],
    [
      'a field of another type',
      () => machine.share('app-compose.json', { ...COMPOSE, name: 7 }),
      { code: 'DOCUMENT_INVALID', path: 'app-compose.json', field: 'name', value: '7' },
    ],
    [
      'a newer manifest',
      () => machine.share('app-compose.json', { ...COMPOSE, manifest_version: '4' }),
      { code: 'MANIFEST_UNSUPPORTED', field: 'manifest_version', value: '4' },
    ],
    [
      'requirements that this OS does not meet',
      () =>
        machine.share('app-compose.json', {
          ...COMPOSE,
          manifest_version: '3',
          requirements: { os_version: '>=9' },
        }),
      { code: 'REQUIREMENT_UNMET', field: 'requirements.os_version' },
    ],
    [
      'swap on a data disk that is not encrypted',
      async () => {
        machine.cmdline = 'dstack.storage_encrypted=0';
        await machine.share('app-compose.json', { ...COMPOSE, swap_size: '64M' });
      },
      { code: 'STORAGE_OPTION_INVALID', field: 'swap_size', value: '67108864' },
    ],
    ['a machine without a TEE', () => machine.takeTeeAway(), { code: 'TEE_NOT_FOUND' }],
    [
      'key provider kms without an address',
      () => machine.share('app-compose.json', { ...COMPOSE, key_provider: 'kms' }),
      { code: 'KMS_URLS_MISSING', field: 'kms_urls' },
    ],
    [
      'key provider tpm without a TPM',
      () => machine.share('app-compose.json', { ...COMPOSE, key_provider: 'tpm' }),
      { code: 'TPM_NOT_FOUND', field: 'key_provider', value: 'tpm' },
    ],
    [
      'key provider tpm, which this version does not have',
      async () => {
        await machine.share('app-compose.json', { ...COMPOSE, key_provider: 'tpm' });
        await mkdir(machine.path('dev'), { recursive: true });
        await writeFile(machine.path('dev/tpmrm0'), '');
      },
      { code: 'KEY_PROVIDER_UNSUPPORTED', field: 'key_provider', value: 'tpm' },
    ],
    [
      'a file system it does not know',
      () => machine.share('app-compose.json', { ...COMPOSE, storage_fs: 'btrfs' }),
      { code: 'STORAGE_OPTION_INVALID', value: 'btrfs' },
    ],
    [
      'an app id of another length',
      () => machine.share('.instance_info', { app_id: '1122' }),
      { code: 'DOCUMENT_INVALID', path: '.instance_info', field: 'app_id', value: '1122' },
    ],
  ];
  it.each(cases)('%s, before anything is measured', async (_, arrange, expected) => {
    await arrange();
    const error = await rejection(boot());
    expect(error).toMatchObject(expected);
    expect(names()).toEqual([]);
    expect(machine.of('boot.error')).toHaveLength(1);
    expect(machine.of('boot.error')[0]).toContain(`[${expected.code}]`);
    for (const part of [expected.path, expected.field, expected.value]) {
      if (part !== undefined) expect(machine.of('boot.error')[0]).toContain(part);
    }
  });

  it('a VM that was started for another app', async () => {
    machine.mrConfigId = new Uint8Array(48).fill(1, 0, 33);
    expect((await rejection(boot())).code).toBe('MR_CONFIG_MISMATCH');
    expect(names()).not.toContain('key-provider');
    expect(machine.steps.some((step) => step.startsWith('disk'))).toBe(false);
  });

  it('a provider that the app does not pin', async () => {
    await machine.share('app-compose.json', { ...COMPOSE, key_provider_id: 'ab' });
    expect(await rejection(boot())).toMatchObject({ code: 'KEY_PROVIDER_MISMATCH', field: 'key_provider_id' });
    expect(names()).not.toContain('key-provider');
  });

  it('a wrong storage option before the disk is touched', async () => {
    machine.cmdline = 'dstack.storage_encrypted=maybe';
    expect((await rejection(boot())).code).toBe('STORAGE_OPTION_INVALID');
    expect(machine.steps.some((step) => step.startsWith('disk'))).toBe(false);
  });

  it('a damaged .sys-config.json, and still tells the host', async () => {
    await machine.share('.sys-config.json', { host_api_url: SYS_CONFIG.host_api_url });
    expect(await rejection(boot())).toMatchObject({ code: 'DOCUMENT_INVALID', field: 'vm_config' });
    expect(machine.of('boot.error')).toHaveLength(1);
  });

  it('a disk that does not open: file and cause reach the host, the keys are wiped', async () => {
    let key = new Uint8Array();
    const dependencies = machine.dependencies({
      openDataDisk: async (options) => {
        key = options.key as Uint8Array<ArrayBuffer>;
        throw new DstackError('LUKS_KEY_WRONG', 'the keys of this app do not open the disk', {
          path: '/dev/vdb1',
          cause: 'No key available with this passphrase.',
        });
      },
    });
    expect((await rejection(setup(machine.options, dependencies))).code).toBe('LUKS_KEY_WRONG');
    expect(machine.of('boot.error')).toEqual([
      'the keys of this app do not open the disk: No key available with this passphrase. (file /dev/vdb1) [LUKS_KEY_WRONG]',
    ]);
    expect(key).toEqual(new Uint8Array(32));
    expect(names()).not.toContain('system-ready');
  });

  it('to go on without a data device', async () => {
    const { device: _, ...options } = machine.options;
    expect((await rejection(setup(options, machine.dependencies()))).code).toBe('DISK_NOT_FOUND');
  });
});

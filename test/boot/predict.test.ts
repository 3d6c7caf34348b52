/** A prediction is worth something only if the boot measures the same: setup runs on the fake machine beside it. */

import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setup } from '../../src/boot/run.ts';
import { toHex } from '../../src/codec/hex.ts';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { parseCmdline } from '../../src/config/cmdline.ts';
import { type PredictOptions, predict } from '../../src/tdx/predict-app.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import * as ui from '../../src/ui.ts';
import { COMPOSE, FakeBootMachine } from './fake-boot-machine.ts';

let machine: FakeBootMachine;
beforeEach(async () => {
  machine = new FakeBootMachine();
  await machine.begin();
  vi.spyOn(ui, 'output').mockImplementation(async () => {});
});
afterEach(() => machine.end());

const composeOf = (changes: object) =>
  parseAppCompose(new Uint8Array(Buffer.from(JSON.stringify({ ...COMPOSE, ...changes }))));
const of = (changes: object, options: Partial<PredictOptions> = {}) =>
  predict(composeOf(changes), { cmdline: parseCmdline(''), cmdlineKnown: false, ...options });
const unknowns = (prediction: ReturnType<typeof predict>) => prediction.unknown.map(({ event }) => event);

describe('prediction equals the boot', () => {
  it.each([
    ['the plain app', {}, ''],
    ['events of version 2', { event_log_version: 2 }, ''],
    [
      'init scripts and a policy',
      { manifest_version: '3', init_script: ['a', 'b'], requirements: { platforms: ['dstack-tdx'] } },
      '',
    ],
    ['no instance id', { no_instance_id: true }, ''],
    ['ext4', { storage_fs: 'ext4' }, ''],
    ['ext4 by the kernel command line', {}, 'dstack.storage_fs=ext4'],
    ['no encryption', {}, 'dstack.storage_encrypted=0'],
  ])('of %s', async (_, changes, cmdline) => {
    machine.cmdline = cmdline;
    await machine.share('app-compose.json', { ...COMPOSE, ...changes });
    await setup(machine.options, machine.dependencies());
    const instance = machine.events.find(({ event }) => event === 'instance-id')?.payload;
    const compose = parseAppCompose(new Uint8Array(await readFile(machine.path('share/app-compose.json'))));
    const prediction = predict(compose, { instanceId: instance, cmdline: parseCmdline(cmdline), cmdlineKnown: true });
    expect(prediction.unknown).toEqual([]);
    expect(prediction.events.map(({ event, payload }) => [event, toHex(payload ?? new Uint8Array())])).toEqual(
      machine.events.map(({ event, payload }) => [event, toHex(payload)]),
    );
    expect(toHex(prediction.rtmr3 ?? new Uint8Array())).toBe(toHex(replayRuntime(machine.events)));
    const boot = replayRuntime(machine.events, { upTo: 'boot-mr-done' });
    expect(toHex(prediction.bootRtmr3 ?? new Uint8Array())).toBe(toHex(boot));
  });
});

describe('what cannot be known', () => {
  const seed = new Uint8Array(20).fill(9);
  const stored = { instanceIdSeed: seed, instanceId: new Uint8Array(), appId: new Uint8Array(20).fill(5) };

  it('is named, and RTMR3 is then not known', () => {
    const prediction = of({});
    expect(unknowns(prediction)).toEqual(['instance-id']);
    expect([prediction.rtmr3, prediction.events.at(-1)?.register]).toEqual([undefined, undefined]);
    expect(prediction.events[3]?.register).toHaveLength(48);
    expect(unknowns(of({ key_provider: 'kms' }))).toEqual(['instance-id', 'os-image-hash', 'key-provider']);
    expect(unknowns(of({ key_provider: 'local', no_instance_id: true }))).toEqual(['key-provider']);
    expect(unknowns(of({ key_provider: 'tpm', no_instance_id: true }))).toEqual([]);
  });

  it('becomes known by what the host keeps, the app pins and the KMS answers', () => {
    const pinned = { key_provider: 'kms', key_provider_id: 'abcd' };
    const prediction = of(pinned, { instance: stored, osImageHash: new Uint8Array(32) });
    expect(prediction.unknown).toEqual([]);
    expect(toHex(prediction.appId)).toBe('05'.repeat(20));
    const provider = prediction.events.find(({ event }) => event === 'key-provider');
    expect(Buffer.from(provider?.payload ?? []).toString()).toBe('{"name":"kms","id":"abcd"}');
    expect(prediction.rtmr3).toHaveLength(48);
  });

  it('seeds of key provider none do not survive a boot', () => {
    expect(unknowns(of({}, { instance: stored }))).toEqual(['instance-id']);
  });

  it.each([
    ['an instance id where there is none', { no_instance_id: true }, { instanceId: new Uint8Array(20) }],
    [
      'an instance id that the seed does not give',
      { key_provider: 'tpm' },
      { instance: stored, instanceId: new Uint8Array(20) },
    ],
    ['a short instance id', {}, { instanceId: new Uint8Array(3) }],
    [
      'another provider than the pinned one',
      { key_provider: 'kms', key_provider_id: 'ab' },
      { keyProviderId: Uint8Array.of(1) },
    ],
  ])('contradictions are refused: %s', (_, changes, options) => {
    expect(() => of(changes, options)).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
  });

  it('what the boot refuses is refused here', () => {
    expect(() => of({ manifest_version: '4' })).toThrow(expect.objectContaining({ code: 'MANIFEST_UNSUPPORTED' }));
    const cmdline = parseCmdline('dstack.storage_fs=btrfs');
    expect(() => of({}, { cmdline })).toThrow(expect.objectContaining({ code: 'STORAGE_OPTION_INVALID' }));
    const clear = parseCmdline('dstack.storage_encrypted=0');
    expect(() => of({ swap_size: '64M' }, { cmdline: clear })).toThrow(
      expect.objectContaining({ code: 'STORAGE_OPTION_INVALID', field: 'swap_size' }),
    );
  });
});

describe('the command', () => {
  const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
  const measure = (...args: string[]) =>
    promisify(execFile)(BUN, ['bin/dstack-util.ts', 'measure', ...args], { env: { NO_COLOR: '1' } });

  it('prints the chain, and what it does not know', async () => {
    const file = machine.path('app.json');
    await writeFile(file, JSON.stringify(COMPOSE));
    const [json, text] = await Promise.all([
      measure(file, '--json', '--instance-id', '00'.repeat(20), '--event', 'mine=ff'),
      measure(file),
    ]);
    const report = JSON.parse(json.stdout);
    expect(report.rtmr3).toMatch(/^[0-9a-f]{96}$/);
    expect(report.events.at(-1)).toMatchObject({ event: 'mine', payload: 'ff', rtmr3: report.rtmr3 });
    expect(report.app_id).toBe(report.compose_hash.slice(0, 40));
    expect(text.stdout).toContain('unknown     instance-id: new at every boot');
    await expect(measure(machine.path('none.json'))).rejects.toMatchObject({
      stderr: expect.stringContaining('[FILE_NOT_FOUND]'),
    });
  });
});

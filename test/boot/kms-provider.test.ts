/** setup with key provider kms, against the development KMS: the order of things, and what a refusal leaves behind. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { evidence } from '../../simulator/canned-evidence.ts';
import { issueKeys } from '../../simulator/kms/derive.ts';
import { freshRoots, type KmsRoots } from '../../simulator/kms/roots.ts';
import type { Kms, KmsOptions } from '../../simulator/kms/server.ts';
import { setup } from '../../src/boot/run.ts';
import { parseAppKeys } from '../../src/config/app-keys.ts';
import { readTimelineFile } from '../../src/config/timeline-file.ts';
import { exists } from '../../src/sys/files.ts';
import * as ui from '../../src/ui.ts';
import { rejection } from '../failure.ts';
import { pki, startKms } from '../simulator/kms/guest.ts';
import { COMPOSE, FakeBootMachine, SYS_CONFIG } from './fake-boot-machine.ts';

let machine: FakeBootMachine;
let roots: KmsRoots;
let kms: Kms | undefined;

beforeEach(async () => {
  machine = new FakeBootMachine();
  await machine.begin();
  roots = await freshRoots();
  vi.spyOn(ui, 'output').mockResolvedValue();
});
afterEach(async () => {
  await kms?.close();
  await machine.end();
});

async function boot(options: Partial<KmsOptions>, app: Record<string, unknown> = {}): Promise<void> {
  // without evidence in its certificate: believing a simulated platform takes a folder of this machine
  kms = await startKms({ roots, attested: false, ...options });
  await machine.share('app-compose.json', { ...COMPOSE, key_provider: 'kms', ...app });
  await machine.share('.sys-config.json', { ...SYS_CONFIG, kms_urls: [`https://127.0.0.1:${kms.port}`] });
  const takeAttestation = async (reportData: Uint8Array) =>
    evidence(pki, [...machine.events], reportData, SYS_CONFIG.vm_config);
  await setup(machine.options, machine.dependencies({ takeAttestation }));
}

const names = () => machine.events.map(({ event }) => event);
const payload = (name: string) => machine.events.find(({ event }) => event === name)?.payload ?? new Uint8Array();
const keyFile = () => machine.path('work/.host-shared/.appkeys.json');
const timelineNotes = async () =>
  (await readTimelineFile(machine.dependencies().timelineFile)).flatMap(({ notes = [] }) => notes);
const touchedDisk = () => machine.steps.some((step) => step.startsWith('disk'));

it('measures what the KMS made of the image, then who it is, and opens the disk with its key', async () => {
  await boot({});
  const bootOnly = names().slice(names().indexOf('instance-id'));
  expect(bootOnly).toEqual([
    'instance-id',
    'boot-mr-done',
    'os-image-hash',
    'key-provider',
    'storage-fs',
    'system-ready',
  ]);
  expect(Buffer.from(payload('os-image-hash')).toString('hex')).toBe('abcd');
  const id = Buffer.from(roots.ca.key.spkiDer).toString('hex');
  expect(JSON.parse(Buffer.from(payload('key-provider')).toString())).toEqual({ name: 'kms', id });
  const keys = issueKeys(roots, payload('app-id'), payload('instance-id'));
  expect(machine.diskKey).toBe(createHash('sha256').update(keys.diskCryptKey).digest('hex'));
  const written = parseAppKeys(await readFile(keyFile()));
  expect(written.keyProvider).toMatchObject({ kind: 'kms', url: `https://127.0.0.1:${kms?.port}/prpc` });
  expect(written.envCryptKey).toEqual(keys.envCryptKey);
  expect(written.diskCryptKey).toHaveLength(0);
});

it.each([
  [
    'refuses the app',
    { policy: { apps: new Set(['00'.repeat(20)]), composeHashes: new Set<string>() } },
    'KMS_REFUSED',
  ],
  ['is an impostor', { faults: { wrongCert: true } }, 'CERT_UNTRUSTED'],
  ['is something else', { faults: { wrongUsage: true } }, 'CERT_USAGE_WRONG'],
  ['dies', { faults: { failAfter: 1 } }, 'KMS_UNREACHABLE'],
])('stops when the KMS %s: told to the host, no disk touched, no key written', async (_, options, code) => {
  const refused = await rejection(boot(options));
  expect(refused.code).toBe(code);
  const [told, ...more] = machine.of('boot.error');
  expect([told, more]).toEqual([expect.stringContaining(`failed to get app keys from KMS: `), []]);
  expect(told).toContain(`[${code}]`);
  expect(names().at(-1)).toBe('boot-mr-done');
  expect(touchedDisk()).toBe(false);
  expect(await exists(keyFile())).toBe(false);
});

it('stops at a KMS that is not the one the app pins, before the disk', async () => {
  const refused = await rejection(boot({}, { key_provider_id: 'ab' }));
  expect(refused.code).toBe('KEY_PROVIDER_MISMATCH');
  expect(names()).not.toContain('key-provider');
  expect(touchedDisk()).toBe(false);
});

it.each([
  ['the app', 'quiet', { manifest_version: '3', requirements: { peer_tcb_statuses: ['UpToDate'] } }],
  ['the image', 'quiet dstack.peer_tcb=UpToDate', {}],
])(
  'stops at a KMS without evidence when %s pins its platform, and says so in the timeline',
  async (_, cmdline, app) => {
    machine.cmdline = cmdline;
    expect((await rejection(boot({}, app))).code).toBe('EVIDENCE_INVALID');
    expect(names().at(-1)).toBe('boot-mr-done');
    expect(touchedDisk()).toBe(false);
    expect(await timelineNotes()).toEqual(['KMS and gateway must prove a platform that is UpToDate']);
  },
);

it('takes such a KMS where nobody pins anything, and the timeline says what it did not show', async () => {
  await boot({});
  expect(await timelineNotes()).toEqual(['the KMS shows no evidence of its platform']);
});

it('measures nothing when the policy of the image cannot be read', async () => {
  machine.cmdline = 'dstack.peer_tcb=good';
  expect((await rejection(boot({}))).code).toBe('CONFIG_INVALID');
  expect(names()).toEqual([]);
});

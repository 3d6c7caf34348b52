/** A dry run is decided once for a process, so this file has one of its own (vitest isolates test files). */
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { realBootMachine } from '../../src/boot/boot-machine.ts';
import { realBootServices } from '../../src/boot/boot-services.ts';
import { prepare, setup } from '../../src/boot/run.ts';
import { isDryRun, startDryRun } from '../../src/sys/effects.ts';
import { COMPOSE, FakeBootMachine, SYS_CONFIG } from './fake-boot-machine.ts';

const machine = new FakeBootMachine();
let printed: string[] = [];

beforeAll(async () => {
  await machine.begin();
  startDryRun((line) => printed.push(line));
});
beforeEach(async () => {
  expect(isDryRun()).toBe(true);
  printed = [];
  await machine.share('app-compose.json', COMPOSE);
});
afterAll(() => machine.end());

/** The functions of this machine that only print in a dry run; the disk is a fake, as a test machine has none to look at. */
const dependencies = () => ({
  ...machine.dependencies(),
  machine: { ...realBootMachine, root: machine.root },
  services: {
    ...machine.services,
    emitEvent: realBootServices.emitEvent,
    setEventVersion: realBootServices.setEventVersion,
    setupDockerRegistry: realBootServices.setupDockerRegistry,
    extractComposeFile: realBootServices.extractComposeFile,
    takeQuote: () => Promise.reject(new Error('a dry run takes no quote')),
    takeAttestation: () => Promise.reject(new Error('a dry run takes no quote')),
    ownEvidence: () => Promise.reject(new Error('a dry run takes no report')),
  },
});

async function tree(dir = machine.root): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.map((entry) => `${entry.parentPath}/${entry.name}`).sort();
}

describe('a dry run', () => {
  it('prints each program call, file and measurement of setup, and changes nothing', async () => {
    const before = await tree();
    const compose = { ...COMPOSE, manifest_version: '3', secure_time: true, init_script: ['echo one'] };
    await machine.share('app-compose.json', compose);
    await setup({ ...machine.options, handover: true }, dependencies());
    expect(await tree()).toEqual(before);
    expect(await readFile(machine.path('share/app-compose.json'), 'utf8')).toBe(JSON.stringify(compose));
    const text = printed.join('\n');
    for (const wanted of [
      'fix the event log version 1 for this boot',
      'run chronyc waitsync 1 0.1 0 0',
      'measure event system-preparing (payload 0 bytes) into RTMR3',
      'measure event system-ready (payload 0 bytes) into RTMR3',
      'take a quote and compare its MR_CONFIG_ID',
      'notify the host: boot.progress requesting app keys',
      `bind ${machine.path('work')} to /dstack`,
      'init-script-1',
      'docker-compose.yaml',
      'agent.json',
    ]) {
      expect(text).toContain(wanted);
    }
    expect(text).toMatch(/write .*\.appkeys\.json \(\d+ bytes, mode 0600\)/);
    expect(text).not.toMatch(/PRIVATE KEY|disk_crypt_key/);
  });

  it('asks nobody for keys, but says whom it would ask, and believes the provider that the app pins', async () => {
    const compose = { ...COMPOSE, key_provider: 'kms', key_provider_id: 'ab'.repeat(91) };
    await machine.share('app-compose.json', compose);
    const urls = ['https://one.example', 'https://two.example:8443'];
    await machine.share('.sys-config.json', { ...SYS_CONFIG, kms_urls: urls });
    await setup(machine.options, dependencies());
    const text = printed.join('\n');
    expect(text).toContain('ask https://one.example, then https://two.example:8443 for the keys of the app');
    expect(text).toContain('measure event os-image-hash (payload 2 bytes)');
    await machine.share('app-compose.json', { ...COMPOSE, key_provider: 'local' });
    await setup(machine.options, dependencies());
    expect(printed.join('\n')).toContain('ask unix:/host.sock for the keys of the app');
    await machine.share('.sys-config.json', SYS_CONFIG);
  });

  it('fails when the inputs are wrong', async () => {
    await machine.share('app-compose.json', { ...COMPOSE, runner: 7 });
    await expect(setup(machine.options, dependencies())).rejects.toMatchObject({
      code: 'DOCUMENT_INVALID',
      field: 'runner',
    });
  });

  it('prints prepare, and leaves no prepared.json', async () => {
    const before = await tree();
    await prepare(dependencies());
    expect(await tree()).toEqual(before);
    expect(printed.join('\n')).toContain('run modprobe tdx-guest');
    expect(printed.join('\n')).toContain('run chronyc makestep');
  });
});

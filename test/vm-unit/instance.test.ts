/** What a VMM remembers of a VM between two boots, and what it tells the guest about services. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { instanceFile, prepareShare, shareFolder } from '../../initramfs/vm/machine-disks.ts';
import type { MachineOptions } from '../../initramfs/vm/machine-options.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'instance-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const image = { kernel: '/k', initrd: '/i', root: '/r', cmdline: '', osImageHash: 'ab', name: 'test' };
const share = async (options: Partial<MachineOptions>) => {
  await prepareShare({ image, dir, share: { 'app-compose.json': '{}' }, shareMode: '9p', ...options });
  const read = (name: string) => readFile(join(shareFolder(dir), name), 'utf8').catch(() => undefined);
  return { instance: await read('.instance_info'), sysConfig: JSON.parse((await read('.sys-config.json')) ?? '{}') };
};

it('hands the guest its last instance.info, but not to a guest with a new disk or without memory', async () => {
  await writeFile(instanceFile(dir), '{"app_id":"00"}');
  expect((await share({ dataDisk: 'keep', rememberInstance: true })).instance).toBe('{"app_id":"00"}');
  expect((await share({ dataDisk: 'keep' })).instance).toBeUndefined();
  expect((await share({ dataDisk: 'blank', rememberInstance: true })).instance).toBeUndefined();
  expect((await share({ dataDisk: 'keep', rememberInstance: true })).instance).toBeUndefined();
});

it('adds what the starter says to .sys-config.json', async () => {
  const { sysConfig } = await share({ sysConfig: { kms_urls: ['https://10.0.2.101'] } });
  expect(sysConfig).toMatchObject({ kms_urls: ['https://10.0.2.101'], host_api_url: 'http://10.0.2.100:80/api' });
  expect((await share({})).sysConfig.kms_urls).toEqual([]);
});

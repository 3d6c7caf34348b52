import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { demoAppCompose, demoAppComposeText } from '../../initramfs/demo/app-compose.ts';
import { ensureDisk, fingerprint, readDisk, writeDisk } from '../../initramfs/vm/disk.ts';
import { defaultAppId, sysConfig, writeShareFolder } from '../../initramfs/vm/share.ts';
import { checkFeatureGates, parseAppCompose } from '../../src/config/app-compose.ts';
import { parseSysConfig } from '../../src/config/sys-config.ts';

const dir = mkdtempSync(join(tmpdir(), 'share-'));
afterAll(() => rmSync(dir, { recursive: true }));
const facts = { osImageHash: 'ab'.repeat(32), imageName: 'x', cpus: 2, memoryMiB: 2048, shareMode: 'disk' } as const;

describe('the documents of a VM', () => {
  it('are what the guest reads', () => {
    const config = parseSysConfig(Buffer.from(sysConfig(facts)));
    expect(config.hostApiUrl).toBe('http://10.0.2.100:80/api');
    expect(JSON.parse(config.vmConfig)).toMatchObject({ os_image_hash: facts.osImageHash, memory_size: 2 ** 31 });
    const app = parseAppCompose(Buffer.from(demoAppComposeText()));
    checkFeatureGates(app);
    expect([app.name, app.runner, app.keyProvider]).toEqual(['dstack-demo', 'docker-compose', 'none']);
  });

  it('can be changed field by field', () => {
    expect(parseSysConfig(Buffer.from(sysConfig(facts, { docker_registry: 'r' }))).dockerRegistry).toBe('r');
    expect(demoAppCompose({ storage_fs: 'zfs' })['storage_fs']).toBe('zfs');
  });

  it('give the default app id: the start of the hash of app-compose.json', () => {
    expect(defaultAppId('{}')).toBe(createHash('sha256').update('{}').digest('hex').slice(0, 40));
  });
});

it('writeShareFolder replaces the folder, keeps links as links and leaves out undefined files', async () => {
  const share = join(dir, 'share');
  await writeShareFolder(share, { old: 'x' });
  await writeShareFolder(share, {
    'app-compose.json': '{}',
    '.user-config': { linkTo: '/etc/passwd' },
    gone: undefined,
  });
  expect(readFileSync(join(share, 'app-compose.json'), 'utf8')).toBe('{}');
  expect(readlinkSync(join(share, '.user-config'))).toBe('/etc/passwd');
  for (const name of ['old', 'gone']) expect(() => readFileSync(join(share, name))).toThrow(/ENOENT/);
});

it('a disk is sparse, grows, never shrinks, and its fingerprint sees a write of zeros', async () => {
  const file = join(dir, 'disks', 'data.img');
  await ensureDisk(file, { size: 8 << 20 });
  const blank = await fingerprint(file);
  await writeDisk(file, 4096, new Uint8Array(4096));
  const zeros = await fingerprint(file);
  expect(zeros).not.toBe(blank);
  await writeDisk(file, 4096, Buffer.from('data'));
  expect(Buffer.from(await readDisk(file, 4096, 4)).toString()).toBe('data');
  expect((await fingerprint(file)).split(' ')[0]).not.toBe(zeros.split(' ')[0]);
  await ensureDisk(file, { size: 4 << 20 });
  expect((await readDisk(file, (8 << 20) - 1, 2)).length).toBe(1);
  await ensureDisk(file, { size: 8 << 20, blank: true });
  expect(await fingerprint(file)).toBe(blank);
});

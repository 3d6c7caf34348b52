/** `get-keys` through the real main, with the evidence of a guest on paper; and the command line of dstack-sim kms. */
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { freshRoots } from '../../simulator/kms/roots.ts';
import type { Kms, KmsOptions } from '../../simulator/kms/server.ts';
import { parseAppKeys } from '../../src/config/app-keys.ts';
import { run } from '../run-main.ts';
import { guest, startKms, temporaryFolder } from '../simulator/kms/guest.ts';

const app = guest();
vi.mock('../../src/tdx/take-evidence.ts', () => ({
  takeAttestation: (reportData: Uint8Array) => app.attest(reportData),
}));

/** How evidence of a KMS would have been judged: nothing here believes the simulated platform. */
const judged = vi.hoisted((): unknown[] => []);
vi.mock('../../src/net/peer-evidence.ts', async (original) => ({
  ...(await original<object>()),
  verifyPeerEvidence: async (_evidence: Uint8Array, _key: Uint8Array, rules: unknown) => void judged.push(rules),
}));

const folder = temporaryFolder();
let kms: Kms | undefined;
afterEach(async () => {
  await kms?.close();
  kms = undefined;
});
afterAll(() => folder.remove());

async function start(options: Partial<KmsOptions> = {}): Promise<string> {
  // a certificate without evidence: nothing here publishes the root of the simulated platform
  kms = await startKms({ attested: false, ...options });
  return `https://127.0.0.1:${kms.port}`;
}

describe('get-keys', () => {
  it('prints the key file, or writes it for root only, and looks at no usage', async () => {
    const url = await start({ faults: { wrongUsage: true } });
    const { stdout, exit } = await run('get-keys', '-k', url);
    expect(exit).toBe(0);
    const keys = parseAppKeys(Buffer.from(stdout));
    expect(keys.keyProvider).toMatchObject({ kind: 'kms', url: `${url}/prpc` });
    expect(stdout).toContain('\n  "disk_crypt_key": "');
    const file = join(folder.path, 'keys.json');
    const written = await run('get-keys', '-k', `${url}/prpc`, '-o', file, '--app-id', `0x${'11'.repeat(20)}`);
    expect([written.exit, written.stdout]).toEqual([0, '']);
    expect(readFileSync(file, 'utf8')).toBe(stdout);
    expect((statSync(file).mode & 0o777).toString(8)).toBe('600');
  });

  it('takes a pinned root, and refuses every other one', async () => {
    const roots = await freshRoots();
    const url = await start({ roots });
    const [right, wrong] = [join(folder.path, 'right.pem'), join(folder.path, 'wrong.pem')];
    writeFileSync(right, roots.ca.certificate);
    writeFileSync(wrong, (await freshRoots()).ca.certificate);
    expect((await run('get-keys', '-k', url, '--root-ca', right)).exit).toBe(0);
    const refused = await run('get-keys', '-k', url, '--root-ca', wrong);
    expect([refused.exit, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toContain('error [CERT_UNTRUSTED]: failed to get app keys from KMS');
  });

  it('checks the evidence of the KMS with the collateral that the host names', async () => {
    const config = { vm_config: '{}', collateral_urls: { pccs: 'http://10.0.2.102' } };
    writeFileSync(join(folder.path, '.sys-config.json'), JSON.stringify(config));
    vi.stubEnv('DSTACK_HOST_SHARED_DIR', folder.path);
    expect((await run('get-keys', '-k', await start({ attested: true }))).exit).toBe(0);
    vi.unstubAllEnvs();
    expect(judged).toEqual([expect.objectContaining({ pccs: 'http://10.0.2.102' })]);
  });

  it('fails with the code that says why', async () => {
    expect((await run('get-keys')).exit).toBe(2);
    const url = await start({ policy: { apps: new Set(), composeHashes: new Set(['00'.repeat(32)]) } });
    const refused = await run('get-keys', '-k', url);
    expect(refused.stderr).toContain('error [KMS_REFUSED]');
    expect(refused.stderr).toContain(`compose hash ${app.composeHash} is not on the list`);
    expect((await run('get-keys', '-k', url, '--app-id', 'abc')).stderr).toContain('[HEX_INVALID]');
    // a value that a person typed: exit status 2, and no configuration file is blamed
    expect(await run('get-keys', '-k', 'http://127.0.0.1')).toMatchObject({
      exit: 2,
      stderr: expect.stringContaining('[INPUT_INVALID]: --kms-url is not an https URL'),
    });
    await kms?.close();
    expect((await run('get-keys', '-k', url)).stderr).toContain('[KMS_UNREACHABLE]');
  });
});

describe('dstack-sim kms', () => {
  const sim = (...options: string[]) => {
    const bun = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');
    const { status, stderr } = spawnSync(bun, ['simulator/dstack-sim.ts', 'kms', ...options], { encoding: 'utf8' });
    return { status, stderr };
  };

  it.each([
    ['a list that nobody is on', [], 'nobody may have keys'],
    ['an app id of another length', ['--allow-app', 'abcd'], 'instead of 20'],
    ['an address without a port', ['--allow-any', '--listen', 'localhost'], 'is not host:port'],
    ['faults that exclude each other', ['--allow-any', '--no-quote', '--bad-quote'], 'exclude each other'],
  ])('refuses %s', (_, options, why) => {
    const { status, stderr } = sim(...options);
    expect(status).toBe(2);
    expect(stderr).toContain(why);
  });
});

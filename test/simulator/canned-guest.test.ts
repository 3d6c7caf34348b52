import { execFile, spawn } from 'node:child_process';
import { createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeCannedGuest } from '../../simulator/canned-guest.ts';
import { DEVELOPMENT_SEED } from '../../simulator/mock-keys.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { parseAppKeys } from '../../src/config/app-keys.ts';
import { parseSysConfig } from '../../src/config/sys-config.ts';
import { getKeyV1 } from '../../src/keys/get-key-v1.ts';
import { decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { decodeVersioned, tdxEventLog, tdxQuote } from '../../src/tdx/attestation.ts';
import { parseLogJson } from '../../src/tdx/log-json.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { replay } from '../../src/tdx/replay.ts';
import { askJson } from '../agent/raw-client.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
let root: string;
const dir = (version: 1 | 2): string => join(root, `v${version}`);
const file = (version: 1 | 2, name: string): Uint8Array => new Uint8Array(readFileSync(join(dir(version), name)));

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'canned-'));
  for (const eventVersion of [1, 2] as const) {
    await writeCannedGuest({ seed: fromHex(DEVELOPMENT_SEED), dir: dir(eventVersion), eventVersion });
  }
});
afterAll(() => rmSync(root, { recursive: true }));

describe.each([1, 2] as const)('canned guest with events of version %i', (version) => {
  it('has evidence that agrees with its documents', () => {
    const { form, attestation } = decodeVersioned(file(version, 'attestation.bin'));
    expect(form).toBe(version === 1 ? 'V0' : 'V1');
    const compose = parseAppCompose(file(version, 'app-compose.json'));
    const info = decodeAppInfo(attestation);
    expect(info.composeHash).toEqual(compose.composeHash);
    expect(info.appId).toEqual(compose.composeHash.slice(0, 20));
    expect(info.instanceId).toHaveLength(20);
    const { vmConfig } = parseSysConfig(file(version, 'sys-config.json'));
    expect(toHex(info.osImageHash)).toBe(JSON.parse(vmConfig).os_image_hash);
    expect(attestation.config).toBe(vmConfig);
  });

  it('has an event log that replays to all four registers of its quote', () => {
    const { attestation } = decodeVersioned(file(version, 'attestation.bin'));
    const { body } = parseQuote(tdxQuote(attestation));
    for (const imr of [0, 1, 2, 3]) expect(replay(tdxEventLog(attestation), imr)).toEqual(body.rtmrs[imr]);
    const separate = parseLogJson(Buffer.from(file(version, 'event_log.json')).toString());
    expect(replay(separate, 3)).toEqual(body.rtmrs[3]);
    expect(file(version, 'quote.bin')).toEqual(tdxQuote(attestation));
  });

  it('has keys the agent accepts: one CA key, one certificate, private to the owner', () => {
    const keys = parseAppKeys(file(version, 'appkeys.json'));
    expect(keys.k256Signature).toHaveLength(65);
    expect(keys.gatewayAppId).toBe('any');
    const own = createPublicKey(keys.keyProvider.kind === 'none' ? keys.keyProvider.key : '');
    const certificate = new X509Certificate(keys.caCert);
    expect(certificate.publicKey.equals(own)).toBe(true);
    expect(certificate.verify(own)).toBe(true);
    expect(statSync(join(dir(version), 'appkeys.json')).mode & 0o777).toBe(0o600);
  });

  it('has a configuration the agent loads', async () => {
    const config = await loadAgentConfig({ cwd: dir(version), root });
    expect(config.core.simulator).toEqual({ attestationFile: 'attestation.bin', patchReportData: true });
    expect(config.internal.address).toBe('unix:./dstack.sock');
    expect(config.core.keysFile).toBe('appkeys.json');
  });
});

it('serves the guest API v1 as it stands', async () => {
  const own = join(root, 'ports.json'); // the public port may be taken on this machine
  writeFileSync(
    own,
    JSON.stringify({ external: { address: '127.0.0.1', port: 0 }, 'guest-api': { address: 'unix:g.sock' } }),
  );
  const program = [resolve('bin/dstack-util.ts'), 'serve', '-c', own];
  const agent = spawn(resolve(BUN), program, { cwd: dir(1), stdio: 'ignore', env: {} });
  try {
    const socket = join(dir(1), 'dstack.sock');
    await vi.waitUntil(() => existsSync(socket), { timeout: 30_000, interval: 100 });
    const call = async (method: string, body: object) =>
      JSON.parse((await askJson(socket, `/v1/${method}`, body)).body);
    const { key } = await call('GetKey', { domain: 'a', algorithm: 'ed25519' });
    const { k256Key } = parseAppKeys(file(1, 'appkeys.json'));
    const expected = await getKeyV1({ k256Key, k256Signature: new Uint8Array(65) }, 'a', 'ed25519');
    expect(key).toBe(toHex(expected.key));
    const { attestation } = await call('Attest', { report_data: '07' });
    const { form, attestation: read } = decodeVersioned(fromHex(attestation));
    expect([form, toHex(read.reportData).slice(0, 4)]).toEqual(['V1', '0700']);
    const { compose_hash } = await call('Info', {});
    expect(compose_hash).toBe(toHex(parseAppCompose(file(1, 'app-compose.json')).composeHash));
    expect((await call('IssueCert', { usage_ra_tls: true })).certificate_chain).toHaveLength(2);
  } finally {
    agent.kill();
    await once(agent, 'exit');
  }
});

describe('seeds', () => {
  it('decide over keys and identity', async () => {
    await writeCannedGuest({ seed: new Uint8Array(32), dir: join(root, 'other'), eventVersion: 1 });
    const keys = (name: string) => parseAppKeys(new Uint8Array(readFileSync(join(root, name, 'appkeys.json'))));
    expect(keys('v1').k256Key).toEqual(keys('v2').k256Key);
    expect(keys('other').k256Key).not.toEqual(keys('v1').k256Key);
  });

  it('a compose file of the user is measured byte for byte', async () => {
    const composeFile = join(root, 'mine.json');
    writeFileSync(composeFile, '{"manifest_version":2,"name":"mine","runner":"bash","bash_script":"true",\n "x":1 }');
    await writeCannedGuest({ seed: new Uint8Array(32), dir: join(root, 'mine'), eventVersion: 1, composeFile });
    const { attestation } = decodeVersioned(new Uint8Array(readFileSync(join(root, 'mine/attestation.bin'))));
    expect(decodeAppInfo(attestation).composeHash).toEqual(
      parseAppCompose(new Uint8Array(readFileSync(composeFile))).composeHash,
    );
  });
});

describe('command line', () => {
  const run = promisify(execFile);
  const sim = (...args: string[]) => run(BUN, ['simulator/dstack-sim.ts', ...args], { env: { NO_COLOR: '1' } });

  it('prints the root certificate, with the development seed by default', async () => {
    const [plain, seeded] = await Promise.all([sim('root-ca'), sim('root-ca', '--seed', `0x${DEVELOPMENT_SEED}`)]);
    expect(new X509Certificate(plain.stdout).subject).toBe('CN=Mock Intel SGX Root CA');
    expect(seeded.stdout).toBe(plain.stdout);
  });

  it.each([
    [[], 'USAGE', 2],
    [['nonsense'], 'USAGE', 2],
    [['root-ca', '--seed', '00'], 'HEX_INVALID', 2], // a typed value
    [['qe'], 'TEE_NOT_FOUND', 1],
  ])('%j fails with %s', async (args, code, status) => {
    await expect(sim(...args)).rejects.toMatchObject({ code: status, stderr: expect.stringContaining(`[${code}]`) });
  });
});

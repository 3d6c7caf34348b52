/** `env encrypt` and `env check` as a deployer uses them, against the official SDK on the other side. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encryptEnvVars } from '@phala/dstack-sdk/encrypt-env-vars';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { decryptEnv } from '../../src/config/encrypted-env.ts';
import { envPublicKey } from '../../src/config/env-cipher.ts';
import { envKeyMessage } from '../../src/keys/env-encrypt-key.ts';
import { compressedPublicKey, keccak256, signRecoverable } from '../../src/keys/secp256k1.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const ENV_KEY = new Uint8Array(32).fill(0x61);
const PUBLIC = envPublicKey(ENV_KEY);
const KMS = new Uint8Array(32).fill(7);
const APP = '03'.repeat(20);
const SECRET = 'hunter2-is-the-secret';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'env-'));
  file('app-compose.json', {
    manifest_version: 2,
    name: 'a',
    runner: 'bash',
    allowed_envs: ['TOKEN', 'B'],
  });
  file('keys.json', {
    disk_crypt_key: 'ab'.repeat(32),
    env_crypt_key: toHex(ENV_KEY),
    k256_key: 'ab'.repeat(32),
    k256_signature: '',
    gateway_app_id: '',
    ca_cert: '',
    key_provider: { None: { key: '' } },
  });
});
afterAll(() => rmSync(dir, { recursive: true }));

function file(name: string, content: unknown, mode = 0o600): string {
  const path = join(dir, name);
  const bytes = typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content);
  writeFileSync(path, bytes);
  chmodSync(path, mode);
  return path;
}

function env(args: string[], input = '') {
  const done = spawnSync(BUN, ['bin/dstack-util.ts', 'env', ...args], {
    encoding: 'utf8',
    input,
    env: { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' },
  });
  return { exit: done.status, stdout: done.stdout, stderr: done.stderr };
}

function answer(timestamp = Math.floor(Date.now() / 1000)): string {
  const signed = (time?: number) => toHex(signRecoverable(KMS, keccak256(envKeyMessage(fromHex(APP), PUBLIC, time))));
  return file('answer.json', {
    public_key: `0x${toHex(PUBLIC)}`,
    signature: signed(),
    timestamp,
    signature_v1: signed(timestamp),
  });
}
const verified = () => ['--signer', toHex(compressedPublicKey(KMS)), '--app-id', APP];
const compose = () => ['--app-compose', join(dir, 'app-compose.json')];

describe('env encrypt', () => {
  it('encrypts for the key a KMS signed, in a form the guest opens', async () => {
    const done = env(
      ['encrypt', '--kms-answer', answer(), ...verified(), ...compose()],
      `TOKEN=${SECRET}\n# no\n\nB=x=y \n`,
    );
    expect(done).toMatchObject({ exit: 0, stderr: '' });
    const opened = await decryptEnv(ENV_KEY, fromHex(done.stdout.trim()), ['TOKEN', 'B']);
    expect([...opened]).toEqual([
      ['B', 'x=y '],
      ['TOKEN', SECRET],
    ]);
  });

  it('writes a file for its owner only, and shows names and sizes but no value', async () => {
    const output = join(dir, 'encrypted-env');
    const plain = file('plain.json', { env: [{ key: 'TOKEN', value: SECRET }] });
    const args = ['encrypt', '--env', plain, '--public-key', toHex(PUBLIC), '--trust-key', '-o', output, '--json'];
    const done = env(args);
    expect(JSON.parse(done.stdout).variables).toEqual([{ key: 'TOKEN', bytes: SECRET.length }]);
    expect(done.stdout + done.stderr).not.toContain(SECRET);
    expect(statSync(output).mode & 0o777).toBe(0o600);
    expect(await decryptEnv(ENV_KEY, readFileSync(output), ['TOKEN'])).toEqual(new Map([['TOKEN', SECRET]]));
  });

  it.each([
    ['another KMS', () => ['--signer', toHex(compressedPublicKey(ENV_KEY)), '--app-id', APP], 'KEY_INVALID'],
    ['another app', () => ['--signer', toHex(compressedPublicKey(KMS)), '--app-id', '04'.repeat(20)], 'KEY_INVALID'],
    ['no word about whom to trust', () => [], 'INPUT_INVALID'],
  ])('refuses %s', (_, options, code) => {
    const done = env(['encrypt', '--kms-answer', answer(), ...options()], `TOKEN=${SECRET}`);
    expect(done.exit).not.toBe(0);
    expect(done.stdout).toBe('');
    expect(done.stderr).toContain(`error [${code}]`);
  });

  it('refuses an old answer, a bare key, and a file that others may read', () => {
    const old = env(['encrypt', '--kms-answer', answer(1_700_000_000), ...verified()], 'TOKEN=x');
    expect(old.stderr).toMatch(/KEY_INVALID.*s old/);
    const bare = env(['encrypt', '--public-key', toHex(PUBLIC)], 'TOKEN=x');
    expect(bare.stderr).toContain('--trust-key');
    const open = file('open.env', 'TOKEN=x', 0o644);
    const shared = env(['encrypt', '--env', open, '--public-key', toHex(PUBLIC), '--trust-key']);
    expect(shared.stderr).toContain('error [FILE_NOT_PRIVATE]');
  });
});

describe('env check', () => {
  const opens = () => ['check', '--keys', join(dir, 'keys.json'), ...compose()];

  it('opens what the official SDK encrypted', async () => {
    const hex = await encryptEnvVars([{ key: 'TOKEN', value: SECRET }], toHex(PUBLIC));
    const encrypted = file('sdk-env', fromHex(hex));
    const done = env([...opens(), '--encrypted', encrypted]);
    expect(done).toMatchObject({ exit: 0, stdout: `TOKEN  ${SECRET.length} bytes\n`, stderr: '' });
  });

  it('tells a wrong key, a name that is not allowed and a malformed document apart', async () => {
    const other = toHex(envPublicKey(new Uint8Array(32).fill(1)));
    const cases: [string, string][] = [
      [await encryptEnvVars([{ key: 'TOKEN', value: SECRET }], other), 'ENV_DECRYPT_FAILED'],
      [await encryptEnvVars([{ key: 'OTHER', value: SECRET }], toHex(PUBLIC)), 'ENV_NOT_ALLOWED'],
      [await encryptEnvVars([{ key: 'TOKEN', value: 'x'.repeat(131_073) }], toHex(PUBLIC)), 'ENV_MALFORMED'],
      ['00'.repeat(59), 'ENV_MALFORMED'],
      [await encryptEnvVars([], toHex(PUBLIC)), 'ENV_MALFORMED'],
      [
        await encryptEnvVars(
          ['1', SECRET].map((value) => ({ key: 'B', value })),
          toHex(PUBLIC),
        ),
        'ENV_MALFORMED',
      ],
    ];
    for (const [hex, code] of cases) {
      const done = env([...opens(), '--encrypted', file('bad-env', fromHex(hex))]);
      expect(done.exit).toBe(1);
      expect(done.stderr).toContain(`error [${code}]`);
      expect(done.stderr + done.stdout).not.toContain(SECRET);
    }
  });

  it('judges plain variables before they are encrypted', () => {
    expect(env(['check', ...compose()], 'B=1\n').stdout).toBe('B  1 bytes\n');
    expect(env(['check', ...compose()], 'C=1\n').stderr).toContain('error [ENV_NOT_ALLOWED]');
    expect(env(['check'], '1C=1\n').stderr).toContain('error [ENV_MALFORMED]');
    const twice = env(['check', ...compose()], `TOKEN=x\nB=1\nTOKEN=${SECRET}\n`);
    expect(twice).toMatchObject({ exit: 1, stdout: '' });
    expect(twice.stderr).toContain('error [ENV_MALFORMED]: TOKEN is set more than once');
    for (const nothing of ['', '\n', '# TOKEN=x\n', '{"env":[]}'])
      expect(env(['check'], nothing).stderr, nothing).toContain(
        'error [ENV_MALFORMED]: the environment sets no variable',
      );
    const broken = env(['check'], `TOKEN=x\n${SECRET}\n`);
    expect(broken.stderr).toContain('line 2');
    expect(broken.stderr).not.toContain(SECRET);
  });
});

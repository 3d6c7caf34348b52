/** The commands derive-key, hex and rand through the real main. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { formatAppKeys } from '../../src/config/app-keys.ts';
import { getKeyV1 } from '../../src/keys/get-key-v1.ts';
import { run } from '../run-main.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

let dir: string;
let keysFile: string;
const vector = vectors.get_key.find(({ path, k256_signature_hex }) => path === 'vms' && k256_signature_hex !== '')!;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'dstack-cmd-'));
  keysFile = join(dir, '.appkeys.json');
  const keys = {
    diskCryptKey: new Uint8Array(32),
    envCryptKey: new Uint8Array(),
    k256Key: fromHex(vector.app_k256_key_hex),
    k256Signature: fromHex(vector.k256_signature_hex),
    gatewayAppId: '',
    caCert: '',
    keyProvider: { kind: 'none', key: '' } as const,
  };
  writeFileSync(keysFile, formatAppKeys(keys));
});
afterAll(() => rmSync(dir, { recursive: true }));

describe('derive-key', () => {
  const args = () => ['derive-key', '--path', vector.path, '--purpose', vector.purpose, '--keys-file', keysFile];

  it('answers as GetKey does', async () => {
    const { stdout, exit } = await run(...args(), '--algorithm', vector.algorithm, '--json');
    expect(exit).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      version: 1,
      key: vector.key_hex,
      public_key: vector.public_key_hex,
      signature_chain: vector.signature_chain_hex,
    });
  });

  it('has a text form', async () => {
    const { stdout } = await run(...args(), '--algorithm', vector.algorithm);
    expect(stdout).toBe(
      `key              ${vector.key_hex}\npublic_key       ${vector.public_key_hex}\n` +
        `signature_chain  0 ${vector.signature_chain_hex[0]}\nsignature_chain  1 ${vector.signature_chain_hex[1]}\n`,
    );
  });

  it('answers as GetKey of the guest API v1 does', async () => {
    const v1 = (...more: string[]) => run('derive-key', '--api', 'v1', '--keys-file', keysFile, '--json', ...more);
    const { stdout } = await v1('--domain', 'a/b', '--algorithm', 'ed25519');
    const { key, publicKey, signatureChain } = await getKeyV1(
      { k256Key: fromHex(vector.app_k256_key_hex), k256Signature: fromHex(vector.k256_signature_hex) },
      'a/b',
      'ed25519',
    );
    expect(JSON.parse(stdout)).toEqual({
      version: 1,
      key: toHex(key),
      public_key: toHex(publicKey),
      signature_chain: signatureChain.map(toHex),
    });
    for (const wrong of [
      [],
      ['--domain', 'a'],
      ['--algorithm', 'ed25519'],
      ['--domain', 'a', '--algorithm', 'ed25519', '--path', 'a'],
    ])
      expect([wrong, (await v1(...wrong)).exit]).toEqual([wrong, 2]);
    expect((await run('derive-key', '--path', 'a', '--domain', 'a', '--keys-file', keysFile)).exit).toBe(2);
    expect((await v1('--domain', 'a', '--algorithm', 'k256')).stdout).toContain('ALGORITHM_UNSUPPORTED');
  });

  it('fails with its code and never shows the keys', async () => {
    const refused = await run(...args(), '--algorithm', 'rsa', '--json');
    expect(refused.exit).toBe(1);
    expect(JSON.parse(refused.stdout).error).toMatchObject({ code: 'ALGORITHM_UNSUPPORTED', value: 'rsa' });
    expect(refused.stdout + refused.stderr).not.toContain(vector.app_k256_key_hex);
    expect((await run('derive-key')).exit).toBe(2);
    const missing = await run('derive-key', '--path', '', '--keys-file', join(dir, 'none'));
    expect(missing.stderr).toContain('FILE_NOT_FOUND');
  });
});

describe('hex', () => {
  it('prints a file without a newline', async () => {
    const bytes = Uint8Array.from({ length: 200_001 }, (_, i) => i % 256);
    writeFileSync(join(dir, 'bytes'), bytes);
    const { stdout, exit } = await run('hex', join(dir, 'bytes'));
    expect(exit).toBe(0);
    expect(stdout).toBe(Buffer.from(bytes).toString('hex'));
  });

  it('names a file it cannot read', async () => {
    expect((await run('hex', join(dir, 'none'))).stderr).toContain('FILE_NOT_FOUND');
    expect((await run('hex', dir)).stderr).toContain('FILE_IO');
  });
});

describe('rand', () => {
  it('gives 20 bytes, or as many as asked, as bytes or hex', async () => {
    expect((await run('rand')).stdout).toHaveLength(20);
    expect((await run('rand', '-n', '0')).stdout).toBe('');
    const [a, b] = [await run('rand', '--bytes', '32', '--hex'), await run('rand', '--bytes', '32', '--hex')];
    expect(a.stdout).toMatch(/^[0-9a-f]{64}$/);
    expect(a.stdout).not.toBe(b.stdout);
  });

  it('writes a file only its owner can read', async () => {
    const file = join(dir, 'random');
    writeFileSync(file, 'old', { mode: 0o644 });
    expect((await run('rand', '-n', '7', '-o', file)).stdout).toBe('');
    expect(readFileSync(file)).toHaveLength(7);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it.each(['-1', '1.5', 'x', '', '99999999999'])('refuses --bytes %j', async (count) => {
    const { exit, stderr } = await run('rand', '--bytes', count);
    expect(exit).toBe(2);
    expect(stderr).toContain('--bytes');
  });
});

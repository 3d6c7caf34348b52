import { createCipheriv, createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { decryptEnv, formatEnvJson } from '../../src/config/encrypted-env.ts';
import { openEnvBlob } from '../../src/config/env-cipher.ts';
import { MAX_ENV_KEY, MAX_ENV_VALUE } from '../../src/config/env-document.ts';
import { formatEnvFile } from '../../src/config/env-file.ts';
import { DstackError } from '../../src/errors.ts';
import * as ui from '../../src/ui.ts';
import vectors from '../vectors/config.json' with { type: 'json' };

const SECRET = new Uint8Array(32).fill(0x61);
const skip = () => {};

/** What a deployer's tool does: an ephemeral key pair and AES-256-GCM under the raw shared secret. */
function encrypt(plaintext: string | Uint8Array, secret = SECRET): Uint8Array {
  const head = Buffer.from('302e020100300506032b656e04220420', 'hex');
  const recipient = createPrivateKey({ key: Buffer.concat([head, secret]), format: 'der', type: 'pkcs8' });
  const ephemeral = generateKeyPairSync('x25519');
  const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey: createPublicKey(recipient) });
  const nonce = new Uint8Array(12).fill(7);
  const cipher = createCipheriv('aes-256-gcm', shared, nonce);
  const body = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const point = ephemeral.publicKey.export({ format: 'der', type: 'spki' }).subarray(12);
  return Uint8Array.from(Buffer.concat([point, nonce, body, cipher.getAuthTag()]));
}

const seal = (env: unknown, secret = SECRET) => encrypt(JSON.stringify({ env }), secret);
const read = (env: unknown, allowed: string[], onSkipped = skip) => decryptEnv(SECRET, seal(env), allowed, onSkipped);
const code = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (thrown: DstackError) => thrown.code,
  );

describe('the encrypted environment', () => {
  it.each(vectors.env_decrypt)('$name', async (vector) => {
    const [secret, blob] = [fromHex(vector.secret_hex), fromHex(vector.ciphertext_hex)];
    expect(new TextDecoder().decode(openEnvBlob(secret, blob))).toBe(vector.plaintext_utf8);
    if (vector.allowed_envs === undefined) return;
    const skipped: string[] = [];
    const env = await decryptEnv(secret, blob, vector.allowed_envs, (key) => skipped.push(key));
    expect(formatEnvFile(env)).toBe(vector.decrypted_env_file);
    expect(formatEnvJson(env)).toBe(vector.decrypted_env_json);
    expect(skipped).toEqual(['NOT_ALLOWED']);
  });

  it('is empty without a key or without a file', async () => {
    const warned = vi.spyOn(ui, 'warn').mockImplementation(() => {});
    expect(await decryptEnv(new Uint8Array(), new Uint8Array(5), [])).toEqual(new Map());
    expect(warned.mock.calls).toEqual([[expect.stringContaining('the key provider gave no key for it')]]);
    warned.mockRestore();
    expect(await decryptEnv(SECRET, new Uint8Array(), [])).toEqual(new Map());
    expect(formatEnvFile(new Map())).toBe('');
    expect(formatEnvJson(new Map())).toBe('{}');
  });

  it('sorts by key, and the last of duplicates wins, which is said', async () => {
    const warned = vi.spyOn(ui, 'warn').mockImplementation(() => {});
    const items = [
      { key: 'b', value: '1' },
      { key: 'B', value: '2' },
      { key: '_', value: '3' },
      { key: 'b', value: '4', more: true },
    ];
    expect([...(await read(items, ['b', 'B', '_']))]).toEqual([
      ['B', '2'],
      ['_', '3'],
      ['b', '4'],
    ]);
    expect(warned.mock.calls).toEqual([['encrypted environment: b is set more than once, the last value counts']]);
    warned.mockRestore();
  });

  it('skips what is not allowed, whatever it looks like, with a warning', async () => {
    const skipped = vi.fn();
    const items = [
      { key: 'no name!', value: 'x'.repeat(MAX_ENV_VALUE + 1) },
      { key: 'A'.repeat(MAX_ENV_KEY + 1), value: '' },
      { key: 'OK', value: 'v' },
    ];
    expect(await read(items, ['OK'], skipped)).toEqual(new Map([['OK', 'v']]));
    expect(skipped).toHaveBeenCalledTimes(2);
  });

  it('tells a wrong key from malformed content', async () => {
    const other = seal([], new Uint8Array(32).fill(0x62));
    expect(await code(decryptEnv(SECRET, other, []))).toBe('ENV_DECRYPT_FAILED');
    expect(await code(decryptEnv(SECRET.subarray(1), seal([]), []))).toBe('ENV_DECRYPT_FAILED');
    const bent = seal([]);
    bent[50]! ^= 1;
    expect(await code(decryptEnv(SECRET, bent, []))).toBe('ENV_DECRYPT_FAILED');
    expect(await code(decryptEnv(SECRET, new Uint8Array(43).fill(1), []))).toBe('ENV_MALFORMED');
    await expect(decryptEnv(SECRET, new Uint8Array(80), [])).rejects.toThrow('invalid X25519 shared secret');
    expect(await code(decryptEnv(SECRET, encrypt('not JSON'), []))).toBe('ENV_MALFORMED');
    expect(await code(decryptEnv(SECRET, encrypt(Uint8Array.from([0x22, 0xff, 0x22])), []))).toBe('ENV_MALFORMED');
  });

  it.each([
    [[], 'accepted'],
    [{}, 'ENV_MALFORMED'],
    [null, 'ENV_MALFORMED'],
    ['x', 'ENV_MALFORMED'],
    [[null], 'ENV_MALFORMED'],
    [[{ key: 'A' }], 'ENV_MALFORMED'],
    [[{ key: 'A', value: 5 }], 'ENV_MALFORMED'],
    [[{ key: null, value: '' }], 'ENV_MALFORMED'],
    [[{ key: 'A', value: '' }], 'accepted'],
    [[{ key: 'A', value: 'a\0b' }], 'ENV_MALFORMED'],
    [[{ key: '1A', value: '' }], 'ENV_MALFORMED'],
    [[{ key: 'A-B', value: '' }], 'ENV_MALFORMED'],
    [[{ key: 'A\n', value: '' }], 'ENV_MALFORMED'],
    [[{ key: '', value: '' }], 'ENV_MALFORMED'],
    [[{ key: 'Ä', value: '' }], 'ENV_MALFORMED'],
  ])('env %j: %s', async (env, outcome) => {
    const allowed = ['A', '1A', 'A-B', 'A\n', '', 'Ä'];
    expect(await code(read(env, allowed))).toBe(outcome);
  });

  it('holds its limits exactly', async () => {
    const items = (count: number) => Array.from({ length: count }, () => ({ key: 'X', value: '' }));
    expect(await code(read(items(1024), []))).toBe('accepted');
    expect(await code(read(items(1025), []))).toBe('ENV_MALFORMED'); // counted before filtering
    const longest = 'A'.repeat(255);
    expect(await code(read([{ key: longest, value: '' }], [longest]))).toBe('accepted');
    const longer = 'A'.repeat(256);
    expect(await code(read([{ key: longer, value: '' }], [longer]))).toBe('ENV_MALFORMED');
    const value = (bytes: number) => [{ key: 'A', value: 'é'.repeat(bytes / 2) }]; // bytes, not characters
    expect(await code(read(value(131_072), ['A']))).toBe('accepted');
    expect(await code(read(value(131_074), ['A']))).toBe('ENV_MALFORMED');
    // 8 x (1 + 131 071) = 1 048 576
    const full = Array.from({ length: 8 }, () => ({ key: 'A', value: 'x'.repeat(131_071) }));
    expect(await code(read(full, ['A']))).toBe('accepted');
    expect(await code(read([...full, { key: 'A', value: '' }], ['A']))).toBe('ENV_MALFORMED');
  });

  it('never puts a value into an error', async () => {
    const value = 'hunter2-hunter2';
    const bad: Uint8Array[] = [
      seal([{ key: 'A-', value }]),
      seal([{ key: 'A-', value: value.repeat(20_000) }]),
      encrypt(`{"env":[{"key":"A","value":"${value}"}`),
      encrypt(`{"env":[{"key":"A","value":"${value}","value":"${value}"}]}`),
      encrypt(`{"env":"${value}"}`),
      encrypt(value),
    ];
    for (const blob of bad) {
      const thrown = await decryptEnv(SECRET, blob, ['A', 'A-']).catch((failed: unknown) => failed);
      expect(thrown).toBeInstanceOf(DstackError);
      const error = thrown as DstackError;
      expect(`${JSON.stringify(error)}${error.stack}${String(error.cause)}`).not.toContain('hunter2');
    }
  });

  it('throws nothing but a DstackError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.jsonValue(), async (noise, env) => {
        for (const blob of [noise, encrypt(noise), seal(env)]) {
          const outcome = await decryptEnv(SECRET, blob, ['A'], skip).catch((thrown: unknown) => thrown);
          expect(outcome instanceof Map || outcome instanceof DstackError).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('the environment file', () => {
  it('has one line a variable whatever the value, and JSON round trips', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-zA-Z_]\w{0,9}$/), fc.string()), (values) => {
        const env = new Map(Object.entries(values));
        expect(formatEnvFile(env).split('\n')).toHaveLength(env.size + 1);
        expect(new Map(Object.entries(JSON.parse(formatEnvJson(env))))).toEqual(env);
      }),
    );
  });

  it('keeps names that mean something to JavaScript', () => {
    expect(formatEnvJson(new Map([['__proto__', 'x']]))).toBe('{"__proto__":"x"}');
  });
});

describe('test helper', () => {
  it('makes blobs of the documented layout', () => {
    expect(toHex(seal([]).subarray(32, 44))).toBe('07'.repeat(12));
    expect(seal([])).toHaveLength(32 + 12 + '{"env":[]}'.length + 16);
  });
});

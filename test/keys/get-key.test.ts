import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import type { DstackError } from '../../src/errors.ts';
import { getKey } from '../../src/keys/get-key.ts';
import { KeyCache } from '../../src/keys/key-cache.ts';
import { compressedPublicKey, keccak256, recoverPublicKey, signRecoverable } from '../../src/keys/secp256k1.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

const keysOf = (vector: { app_k256_key_hex: string; k256_signature_hex?: string }) => ({
  k256Key: fromHex(vector.app_k256_key_hex),
  k256Signature: fromHex(vector.k256_signature_hex ?? ''),
});
const code = (work: Promise<unknown>) =>
  work.then(
    () => 'nothing thrown',
    (thrown: DstackError) => thrown.code,
  );

describe('GetKey', () => {
  it.each(vectors.get_key)('$name', async (vector) => {
    const derived = await getKey(keysOf(vector), vector.path, vector.purpose, vector.algorithm);
    expect(toHex(derived.key)).toBe(vector.key_hex);
    expect(toHex(derived.publicKey)).toBe(vector.public_key_hex);
    expect(derived.signatureChain.map(toHex)).toEqual(vector.signature_chain_hex);
  });

  it('has a chain that leads back to the app key and the KMS root', async () => {
    for (const vector of vectors.get_key) {
      const app = compressedPublicKey(fromHex(vector.app_k256_key_hex));
      const [signature] = vector.signature_chain_hex;
      const hash = keccak256(Buffer.from(vector.signed_message_ascii));
      expect(toHex(recoverPublicKey(fromHex(signature!), hash))).toBe(toHex(app));
    }
    for (const sample of vectors.kms_derivation_sample) {
      const hash = keccak256(fromHex(sample.k256_signature_message_hex));
      expect(toHex(hash)).toBe(sample.k256_signature_keccak256_hex);
      expect(toHex(signRecoverable(fromHex(sample.root_k256_key_hex), hash))).toBe(sample.k256_signature_hex);
      expect(toHex(recoverPublicKey(fromHex(sample.k256_signature_hex), hash))).toBe(sample.root_k256_pubkey_hex);
    }
  });

  it('recovers the signer of the environment key', () => {
    for (const vector of vectors.env_encrypt_pubkey_signature) {
      const message = Buffer.concat([
        Buffer.from('dstack-env-encrypt-pubkey:'),
        fromHex(vector.app_id_hex),
        fromHex(vector.public_key_hex),
      ]);
      const signer = recoverPublicKey(fromHex(vector.signature_hex), keccak256(message));
      expect(toHex(signer)).toBe(vector.expected_signer_compressed_hex);
    }
  });

  it('refuses other algorithms with the text clients know', async () => {
    const keys = keysOf(vectors.get_key[0]!);
    for (const algorithm of ['secp256k1_prehashed', 'rsa', 'K256', ' ']) {
      await expect(getKey(keys, '', '', algorithm)).rejects.toThrow('Unsupported algorithm');
      expect(await code(getKey(keys, '', '', algorithm))).toBe('ALGORITHM_UNSUPPORTED');
    }
  });

  it('refuses key material that is no scalar', async () => {
    expect(await code(getKey({ k256Key: new Uint8Array(32), k256Signature: new Uint8Array() }, '', '', ''))).toBe(
      'KEY_INVALID',
    );
  });

  it('derives by path alone', async () => {
    const keys = keysOf(vectors.get_key[0]!);
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.string(), async (path, purpose) => {
        const plain = await getKey(keys, path, '', 'secp256k1');
        const signed = await getKey(keys, path, purpose, 'ed25519');
        expect(signed.key).toEqual(plain.key);
      }),
      { numRuns: 10 },
    );
  });
});

describe('the key cache', () => {
  it('answers as getKey does and survives a caller who wipes its copy', async () => {
    const keys = keysOf(vectors.get_key[0]!);
    const cache = new KeyCache(keys);
    const first = await cache.get('p', 'q', 'k256');
    expect(first).toEqual(await getKey(keys, 'p', 'q', 'secp256k1'));
    first.key.fill(0);
    expect(await cache.get('p', 'q', '')).toEqual(await getKey(keys, 'p', 'q', ''));
    expect(cache.size).toBe(1);
    // no two different requests may meet in one entry
    expect((await cache.get('p', 'q2', '')).signatureChain[0]).not.toEqual(first.signatureChain[0]);
    expect((await cache.get('p","q', '', '')).key).not.toEqual((await cache.get('p', 'q', '')).key);
  });

  it('is bounded, and drops the least recently used', async () => {
    const cache = new KeyCache(keysOf(vectors.get_key[0]!), 2);
    const chain = async (path: string) => (await cache.get(path, '', '')).signatureChain;
    const [a, b] = [await chain('a'), await chain('b')];
    expect(await chain('a')).toBe(a); // the same object: not computed again
    await chain('c');
    expect(cache.size).toBe(2);
    expect(await chain('a')).toBe(a);
    expect(await chain('b')).not.toBe(b);
    cache.clear();
    expect(cache.size).toBe(0);
  });
});

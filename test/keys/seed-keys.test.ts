import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { compressedPublicKey } from '../../src/keys/secp256k1.ts';
import { ephemeralKeys, keysFromSeed } from '../../src/keys/seed-keys.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

describe('app keys from a seed', () => {
  it.each(vectors.app_keys_from_seed)('$name', (vector) => {
    const keys = keysFromSeed(fromHex(vector.seed_hex), { kind: 'none' });
    expect(toHex(keys.appKey.scalar)).toBe(vector.app_key_p256_scalar_hex);
    expect(toHex(keys.appKey.spkiDer)).toBe(vector.app_key_spki_der_hex);
    expect(toHex(keys.diskCryptKey)).toBe(vector.disk_crypt_key_hex);
    expect(toHex(keys.k256Key)).toBe(vector.k256_key_hex);
    expect(toHex(compressedPublicKey(keys.k256Key))).toBe(vector.k256_pubkey_compressed_hex);
    expect(toHex(keys.envCryptKey)).toBe(vector.env_crypt_key_hex);
    expect(toHex(keys.k256Signature)).toBe(vector.k256_signature_hex);
    expect(keys.gatewayAppId).toBe(vector.gateway_app_id);
  });

  it('keeps what identifies the provider', () => {
    const seed = new Uint8Array(32);
    const mr = new Uint8Array(32).fill(7);
    expect(keysFromSeed(seed, { kind: 'local', mr }).keyProvider).toMatchObject({ kind: 'local', mr });
    expect(keysFromSeed(seed, { kind: 'tpm', pubkey: mr }).keyProvider).toMatchObject({ kind: 'tpm', pubkey: mr });
  });

  it('refuses a seed of another length', () => {
    expect(() => keysFromSeed(new Uint8Array(31), { kind: 'none' })).toThrow('32 bytes, not 31');
  });

  it('makes new ephemeral keys each time', () => {
    const [a, b] = [ephemeralKeys(), ephemeralKeys()];
    for (const name of ['diskCryptKey', 'k256Key'] as const) expect(a[name]).not.toEqual(b[name]);
  });
});

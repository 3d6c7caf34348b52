import {
  verifyEnvEncryptPublicKey,
  verifyEnvEncryptPublicKeyLegacy,
} from '@phala/dstack-sdk/verify-env-encrypt-public-key';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { envCryptKey, envPublicKey as kmsEnvPublicKey } from '../../simulator/kms/derive.ts';
import { freshRoots } from '../../simulator/kms/roots.ts';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { envPublicKey } from '../../src/config/env-cipher.ts';
import { DstackError } from '../../src/errors.ts';
import { envKeyMessage, recoverEnvKeySigner, verifyEnvKey } from '../../src/keys/env-encrypt-key.ts';
import { compressedPublicKey, keccak256, signRecoverable } from '../../src/keys/secp256k1.ts';
import vectors from '../vectors/keys.json' with { type: 'json' };

const KMS = new Uint8Array(32).fill(7);
const SIGNER = compressedPublicKey(KMS);
const APP = new Uint8Array(20).fill(3);
const KEY = new Uint8Array(32).fill(9);
const NOW = 1_800_000_000;
const sign = (timestamp?: number, app = APP) => ({
  publicKey: KEY,
  signature: signRecoverable(KMS, keccak256(envKeyMessage(app, KEY, timestamp))),
  ...(timestamp === undefined ? {} : { timestamp }),
});
const code = (work: Promise<unknown>) =>
  work.then(
    () => 'accepted',
    (thrown: DstackError) => `${thrown.code} ${thrown.field}`,
  );

describe('the public key for encrypted environments', () => {
  it.each(vectors.env_encrypt_pubkey_signature)('$name', async (vector) => {
    const signed = { publicKey: fromHex(vector.public_key_hex), signature: fromHex(vector.signature_hex) };
    const signer = await recoverEnvKeySigner(signed, fromHex(vector.app_id_hex));
    expect(toHex(signer)).toBe(vector.expected_signer_compressed_hex);
  });

  it('is verified as the official SDK verifies it', async () => {
    const now = Math.floor(Date.now() / 1000);
    const signed = sign(now);
    const official = verifyEnvEncryptPublicKey(KEY, signed.signature, toHex(APP), now);
    expect(official).toBe(`0x${toHex(await recoverEnvKeySigner(signed, APP))}`);
    const legacy = verifyEnvEncryptPublicKeyLegacy(KEY, sign().signature, toHex(APP));
    expect(legacy).toBe(`0x${toHex(await recoverEnvKeySigner(sign(), APP))}`);
    expect(toHex(SIGNER)).toBe(official?.slice(2));
  });

  it('of the development KMS verifies, and is that of the key it gives to the app', async () => {
    const roots = await freshRoots();
    const now = Math.floor(Date.now() / 1000);
    const { publicKey, signature, signatureV1 } = kmsEnvPublicKey(roots, APP, now);
    const signer = compressedPublicKey(roots.k256);
    await verifyEnvKey({ publicKey, signature: signatureV1, timestamp: now }, APP, signer);
    await verifyEnvKey({ publicKey, signature }, APP, signer);
    expect(toHex(envPublicKey(envCryptKey(roots, APP)))).toBe(toHex(publicKey));
  });

  it.each([
    ['300 s old', 300, 'accepted'],
    ['301 s old', 301, 'KEY_INVALID timestamp'],
    ['60 s in the future', -60, 'accepted'],
    ['61 s in the future', -61, 'KEY_INVALID timestamp'],
  ])('%s: %i', async (_, age, expected) => {
    expect(await code(verifyEnvKey(sign(NOW - age), APP, SIGNER, NOW))).toBe(expected);
  });

  it('refuses another KMS, another app, and a time that was not signed', async () => {
    expect(await code(verifyEnvKey(sign(), APP, SIGNER))).toBe('accepted');
    expect(await code(verifyEnvKey(sign(), APP, compressedPublicKey(KEY)))).toBe('KEY_INVALID signer');
    expect(await code(verifyEnvKey(sign(undefined, new Uint8Array(20)), APP, SIGNER))).toBe('KEY_INVALID signer');
    expect(await code(verifyEnvKey({ ...sign(NOW - 900), timestamp: NOW }, APP, SIGNER, NOW))).toBe(
      'KEY_INVALID signer',
    );
    expect(await code(verifyEnvKey({ ...sign(NOW - 900), signature: sign().signature }, APP, SIGNER, NOW))).toBe(
      'KEY_INVALID timestamp',
    );
  });

  it('throws nothing but its own error, whatever it is given', async () => {
    const bytes = (max: number) => fc.uint8Array({ maxLength: max });
    await fc.assert(
      fc.asyncProperty(
        bytes(40),
        bytes(70),
        bytes(24),
        fc.option(fc.double()),
        async (publicKey, signature, app, t) => {
          const signed = { publicKey, signature, ...(t === null ? {} : { timestamp: t }) };
          await recoverEnvKeySigner(signed, app).catch((thrown) => expect(thrown).toBeInstanceOf(DstackError));
        },
      ),
    );
  });
});

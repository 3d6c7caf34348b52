import { createHash, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { appAuthority, envPublicKey, issueKeys } from '../../../simulator/kms/derive.ts';
import { freshRoots, type KmsRoots } from '../../../simulator/kms/roots.ts';
import { fromHex, toHex } from '../../../src/codec/hex.ts';
import { x25519PublicKey, x25519Shared } from '../../../src/codec/x25519.ts';
import { p256FromScalar } from '../../../src/keys/derive.ts';
import { compressedPublicKey, keccak256, recoverPublicKey } from '../../../src/keys/secp256k1.ts';
import { OID, readExtension } from '../../../src/x509/x509.ts';
import vectors from '../../vectors/keys.json' with { type: 'json' };

const [sample] = vectors.kms_derivation_sample;
if (!sample) throw new Error('no vector');
const appId = fromHex(sample.app_id_hex);

async function sampleRoots(): Promise<KmsRoots> {
  const roots = await freshRoots();
  const key = p256FromScalar(fromHex(sample!.root_ca_p256_scalar_hex));
  return { ...roots, ca: { ...roots.ca, key }, k256: fromHex(sample!.root_k256_key_hex) };
}

describe('keys a KMS issues', () => {
  it('are those of the reference', async () => {
    const roots = await sampleRoots();
    const keys = issueKeys(roots, appId, fromHex(sample.instance_id_hex));
    expect({
      disk: toHex(keys.diskCryptKey),
      env: toHex(keys.envCryptKey),
      k256: toHex(keys.k256Key),
      signature: toHex(keys.k256Signature),
      pub: toHex(x25519PublicKey(keys.envCryptKey)),
    }).toEqual({
      disk: sample.disk_crypt_key_hex,
      env: sample.env_crypt_key_hex,
      k256: sample.app_k256_key_hex,
      signature: sample.k256_signature_hex,
      pub: sample.env_encrypt_pubkey_hex,
    });
    expect(toHex(compressedPublicKey(roots.k256))).toBe(sample.root_k256_pubkey_hex);
  });

  it('are signed so that deployers find the KMS behind an environment key', async () => {
    const roots = await sampleRoots();
    const { publicKey, signature, signatureV1 } = envPublicKey(roots, appId, sample.timestamp);
    expect(toHex(signature)).toBe(sample.env_pubkey_signature_legacy_hex);
    expect(toHex(signatureV1)).toBe(sample.env_pubkey_signature_v1_hex);
    const message = Buffer.concat([Buffer.from('dstack-env-encrypt-pubkey:'), appId, publicKey]);
    expect(toHex(recoverPublicKey(signature, keccak256(message)))).toBe(sample.root_k256_pubkey_hex);
    // the published example of the official client libraries, by a key that is not ours
    const [published] = vectors.env_encrypt_pubkey_signature;
    const theirs = Buffer.concat([
      Buffer.from('dstack-env-encrypt-pubkey:'),
      fromHex(published!.app_id_hex),
      fromHex(published!.public_key_hex),
    ]);
    expect(toHex(recoverPublicKey(fromHex(published!.signature_hex), keccak256(theirs)))).toBe(
      published!.expected_signer_compressed_hex,
    );
  });

  it('differ between apps, and the disk key between instances', async () => {
    const roots = await freshRoots();
    const [a, b] = [new Uint8Array(20).fill(1), new Uint8Array(20).fill(2)];
    const [first, second, other] = [issueKeys(roots, a, a), issueKeys(roots, a, b), issueKeys(roots, b, a)];
    expect(second).toMatchObject({ envCryptKey: first.envCryptKey, k256Key: first.k256Key });
    expect(second.diskCryptKey).not.toEqual(first.diskCryptKey);
    for (const name of ['diskCryptKey', 'envCryptKey', 'k256Key'] as const)
      expect(other[name]).not.toEqual(first[name]);
    expect(issueKeys(roots, a, a)).toEqual(first);
  });

  it('come with an authority of the app: the same key every time, below the root of the KMS', async () => {
    const roots = await freshRoots();
    const [first, again] = [await appAuthority(roots, appId), await appAuthority(roots, appId)];
    expect(toHex(again.key.scalar)).toBe(toHex(first.key.scalar));
    const certificate = new X509Certificate(first.certificate);
    expect(certificate.ca).toBe(true);
    expect(certificate.verify(new X509Certificate(roots.ca.certificate).publicKey)).toBe(true);
    expect(readExtension(first.certificate, OID.appId)).toEqual(appId);
    expect(Buffer.from(readExtension(first.certificate, OID.usage) ?? '').toString()).toBe('app:ca');
    const sampleCa = await appAuthority(
      { ...roots, ca: { ...roots.ca, key: (await sampleRoots()).ca.key } },
      appId,
    ).catch((thrown: Error) => thrown.message);
    // the certificate of the roots does not belong to the key of the vector
    expect(sampleCa).toBe('CA certificate does not match private key');
  });
});

describe('X25519', () => {
  it('agrees on both sides, and refuses a public key of small order', () => {
    const [a, b] = ['a', 'b'].map((text) => new Uint8Array(createHash('sha256').update(text).digest()));
    expect(x25519Shared(a!, x25519PublicKey(b!))).toEqual(x25519Shared(b!, x25519PublicKey(a!)));
    const order8 = fromHex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800');
    for (const point of [new Uint8Array(32), Uint8Array.of(1, ...new Uint8Array(31)), order8]) {
      expect(x25519Shared(a!, point)).toBeUndefined();
    }
  });
});

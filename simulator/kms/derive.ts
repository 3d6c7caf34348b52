/** What a KMS derives for one app from its roots (dstack keys and certificates, app keys from KMS). */

import { concat } from '../../src/codec/bytes.ts';
import { x25519PublicKey } from '../../src/codec/x25519.ts';
import { deriveKey, deriveP256, dhSecret, utf8Part } from '../../src/keys/derive.ts';
import { compressedPublicKey, keccak256, signRecoverable } from '../../src/keys/secp256k1.ts';
import { issueCertificate } from '../../src/x509/x509.ts';
import { type Authority, type KmsRoots, ORGANIZATION } from './roots.ts';

export interface IssuedKeys {
  readonly diskCryptKey: Uint8Array;
  readonly envCryptKey: Uint8Array;
  readonly k256Key: Uint8Array;
  readonly k256Signature: Uint8Array;
}

/** The keys of one instance of an app. The disk key differs between instances, the others do not. */
export function issueKeys(roots: KmsRoots, appId: Uint8Array, instanceId: Uint8Array): IssuedKeys {
  const { scalar } = roots.ca.key;
  const k256Key = deriveKey(roots.k256, [appId, utf8Part('app-key')], 32);
  const issued = concat(utf8Part('dstack-kms-issued:'), appId, compressedPublicKey(k256Key));
  return {
    diskCryptKey: dhSecret(scalar, [appId, instanceId, utf8Part('app-disk-crypt-key')]),
    envCryptKey: envCryptKey(roots, appId),
    k256Key,
    k256Signature: signRecoverable(roots.k256, keccak256(issued)),
  };
}

/** The X25519 private key that opens the encrypted environment of an app. */
export const envCryptKey = (roots: KmsRoots, appId: Uint8Array): Uint8Array =>
  dhSecret(roots.ca.key.scalar, [appId, utf8Part('env-encrypt-key')]);

export interface EnvPublicKey {
  readonly publicKey: Uint8Array;
  readonly signature: Uint8Array;
  readonly signatureV1: Uint8Array;
}

/** The key to encrypt an environment for, signed so that deployers can tell whose it is. `timestamp` is in seconds. */
export function envPublicKey(roots: KmsRoots, appId: Uint8Array, timestamp: number): EnvPublicKey {
  const publicKey = x25519PublicKey(envCryptKey(roots, appId));
  const be64 = Buffer.alloc(8);
  be64.writeBigUInt64BE(BigInt(timestamp));
  const sign = (...parts: Uint8Array[]) =>
    signRecoverable(roots.k256, keccak256(concat(utf8Part('dstack-env-encrypt-pubkey:'), appId, ...parts)));
  return { publicKey, signature: sign(publicKey), signatureV1: sign(be64, publicKey) };
}

/** The certificate authority of one app: the same key every time. */
export async function appAuthority(roots: KmsRoots, appId: Uint8Array): Promise<Authority> {
  const key = deriveP256(roots.ca.key.scalar, [appId, utf8Part('app-ca')]);
  const certificate = await issueCertificate(
    { organization: ORGANIZATION, commonName: 'Dstack App CA', ca: { pathLength: 0 }, appId, usage: 'app:ca' },
    key,
    { certificate: roots.ca.certificate, key: roots.ca.key },
  );
  return { key, certificate };
}

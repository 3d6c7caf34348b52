/** Ed25519 (RFC 8032) from raw 32-byte seeds, by node:crypto. */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { DstackError } from '../errors.ts';

// RFC 8410: the whole encoding of a key is this prefix and 32 bytes
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

function privateKey(seed: Uint8Array): KeyObject {
  const der = Buffer.concat([PKCS8_HEAD, seed]);
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } catch {
    throw new DstackError('KEY_INVALID', `an ed25519 seed has 32 bytes, not ${seed.length}`);
  } finally {
    der.fill(0);
  }
}

/** The 32-byte public key of a seed. @throws KEY_INVALID */
export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  const spki = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' });
  return new Uint8Array(spki.subarray(SPKI_HEAD.length));
}

/** 64 bytes. @throws KEY_INVALID */
export function ed25519Sign(seed: Uint8Array, data: Uint8Array): Uint8Array {
  return new Uint8Array(sign(null, data, privateKey(seed)));
}

/**
 * Verifies; a wrong signature is false.
 * @throws KEY_INVALID for a public key that is not a point of the curve, or a signature of another length than 64 bytes
 */
export async function ed25519Verify(publicKey: Uint8Array, data: Uint8Array, signature: Uint8Array): Promise<boolean> {
  await checkPoint(publicKey);
  if (signature.length !== 64) {
    throw new DstackError('KEY_INVALID', `an ed25519 signature has 64 bytes, not ${signature.length}`, {
      field: 'signature',
    });
  }
  const der = Buffer.concat([SPKI_HEAD, publicKey]);
  return verify(null, data, createPublicKey({ key: der, format: 'der', type: 'spki' }), signature);
}

/** node:crypto would only answer false; clients of Verify get an error for bytes that are not a key. */
async function checkPoint(publicKey: Uint8Array): Promise<void> {
  const { ed25519 } = await import('@noble/curves/ed25519');
  try {
    if (publicKey.length !== 32) throw new Error('length');
    ed25519.ExtendedPoint.fromHex(new Uint8Array(publicKey), true); // y need not be canonical, as in ed25519-dalek
  } catch {
    throw new DstackError('KEY_INVALID', 'the public key is not an ed25519 point of 32 bytes', { field: 'public_key' });
  }
}

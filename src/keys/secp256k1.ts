/**
 * secp256k1 with recoverable signatures over a keccak256 hash. node:crypto has neither RFC 6979 nonces nor recovery,
 * so this is the one curve that comes from noble (38 ms for the first signature of a process, 0.2 ms afterwards). What
 * needs a secret, and Verify, go through `k256-signer.ts`, which takes libsecp256k1 where it can.
 */
import { secp256k1 } from '@noble/curves/secp256k1';
import { DstackError } from '../errors.ts';
import { checkCompactSignature, hasPointForm, notAPoint } from './k256-scalar.ts';

export { keccak256 } from './keccak256.ts';

/** The compressed point, 33 bytes. @throws KEY_INVALID */
export function compressedPublicKey(scalar: Uint8Array): Uint8Array {
  try {
    return secp256k1.getPublicKey(scalar, true);
  } catch {
    throw new DstackError('KEY_INVALID', 'the key is not a valid secp256k1 scalar');
  }
}

/**
 * Signs a 32-byte hash: RFC 6979 nonce with HMAC-SHA256 whatever made the hash, low S.
 * @returns r (32) | s (32) | recovery id (1 byte, not offset by 27)
 * @throws KEY_INVALID
 */
export function signRecoverable(scalar: Uint8Array, hash: Uint8Array): Uint8Array {
  const signature = signHash(scalar, hash);
  const out = new Uint8Array(65);
  out.set(signature.toCompactRawBytes());
  out[64] = signature.recovery;
  return out;
}

function signHash(scalar: Uint8Array, hash: Uint8Array): ReturnType<typeof secp256k1.sign> {
  try {
    return secp256k1.sign(hash, scalar, { lowS: true });
  } catch {
    throw new DstackError('KEY_INVALID', 'the key is not a valid secp256k1 scalar');
  }
}

/** The compressed public key that made a recoverable signature. @throws KEY_INVALID */
export function recoverPublicKey(signature: Uint8Array, hash: Uint8Array): Uint8Array {
  try {
    if (signature.length !== 65) throw new Error('length');
    return secp256k1.Signature.fromCompact(signature.subarray(0, 64))
      .addRecoveryBit(signature[64]!)
      .recoverPublicKey(hash)
      .toRawBytes(true);
  } catch {
    throw new DstackError('KEY_INVALID', 'the recoverable signature is malformed');
  }
}

/**
 * Verifies r | s over a hash. High-S signatures are false.
 * @throws KEY_INVALID for a malformed public key or signature (wrong length, r or s zero or not below the order)
 */
export function verifyCompact(publicKey: Uint8Array, hash: Uint8Array, signature: Uint8Array): boolean {
  const point = parsePoint(publicKey);
  checkCompactSignature(signature);
  return secp256k1.verify(signature, hash, point, { lowS: true });
}

function parsePoint(publicKey: Uint8Array): Uint8Array {
  try {
    if (!hasPointForm(publicKey)) throw new Error('form');
    return secp256k1.ProjectivePoint.fromHex(publicKey).toRawBytes(true);
  } catch {
    throw notAPoint();
  }
}

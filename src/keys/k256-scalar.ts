/** Ranges and forms of secp256k1 (SEC 2, 2.4.1): keys, hashes, signatures. Apart from the curve itself, which takes long to load. */
import { fromHex, toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** True for 32 bytes in [1, n-1]. */
export function isK256Scalar(bytes: Uint8Array): boolean {
  return bytes.length === 32 && inRange(bytes);
}

function inRange(bytes: Uint8Array): boolean {
  const value = BigInt(`0x${toHex(bytes)}`);
  return value > 0n && value < ORDER;
}

/** @throws KEY_INVALID unless it is r | s, 64 bytes, each in [1, n-1] */
export function checkCompactSignature(signature: Uint8Array): void {
  if (signature.length === 64 && inRange(signature.subarray(0, 32)) && inRange(signature.subarray(32))) return;
  throw new DstackError('KEY_INVALID', 'the signature is not r | s with both in range, 64 bytes', {
    field: 'signature',
  });
}

/** Compressed or uncompressed by its length and first byte; whether it is on the curve is another question. */
export const hasPointForm = (publicKey: Uint8Array): boolean =>
  (publicKey.length === 33 && (publicKey[0] === 2 || publicKey[0] === 3)) ||
  (publicKey.length === 65 && publicKey[0] === 4);

export const notAPoint = (): DstackError =>
  new DstackError('KEY_INVALID', 'the public key is not a SEC1 point of secp256k1', { field: 'public_key' });

/**
 * A 32-byte hash, less the order if it is not below it (bits2octets of RFC 6979, 2.3.4). A digest is that large once in
 * 2^128 times, but callers may bring their own.
 */
export function reduceHash(hash: Uint8Array): Uint8Array {
  const value = BigInt(`0x${toHex(hash)}`);
  return value < ORDER ? hash : fromHex((value - ORDER).toString(16).padStart(64, '0'));
}

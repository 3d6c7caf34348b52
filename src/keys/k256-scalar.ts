/** The range of secp256k1 private keys (SEC 2, 2.4.1). Apart from the curve itself, which takes long to load. */
import { fromHex, toHex } from '../codec/hex.ts';

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** True for 32 bytes in [1, n-1]. */
export function isK256Scalar(bytes: Uint8Array): boolean {
  if (bytes.length !== 32) return false;
  const value = BigInt(`0x${toHex(bytes)}`);
  return value > 0n && value < ORDER;
}

/**
 * A 32-byte hash, less the order if it is not below it (bits2octets of RFC 6979, 2.3.4). A digest is that large once in
 * 2^128 times, but callers may bring their own.
 */
export function reduceHash(hash: Uint8Array): Uint8Array {
  const value = BigInt(`0x${toHex(hash)}`);
  return value < ORDER ? hash : fromHex((value - ORDER).toString(16).padStart(64, '0'));
}

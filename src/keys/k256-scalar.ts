/** The range of secp256k1 private keys (SEC 2, 2.4.1). Apart from the curve itself, which takes long to load. */
import { toHex } from '../codec/hex.ts';

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** True for 32 bytes in [1, n-1]. */
export function isK256Scalar(bytes: Uint8Array): boolean {
  if (bytes.length !== 32) return false;
  const value = BigInt(`0x${toHex(bytes)}`);
  return value > 0n && value < ORDER;
}

/**
 * P-256 in plain JavaScript. Web Crypto has it too, but as a promise, and not on a page that came over plain HTTP: the same
 * evidence must not be judged in one way here and in another there.
 */
import { p256 } from '@noble/curves/nist';
import { sha256 } from '@noble/hashes/sha2';
import type { VerifyingKey } from './types.ts';

export function p256Key(point: Uint8Array): VerifyingKey | undefined {
  let key: Uint8Array;
  try {
    key = p256.ProjectivePoint.fromHex(new Uint8Array(point)).toRawBytes(false);
  } catch {
    return undefined;
  }
  return {
    verify(bytes, signature) {
      if (signature.length !== 64) return false;
      try {
        return p256.verify(new Uint8Array(signature), sha256(bytes), key, {
          prehash: false,
          lowS: false,
          format: 'compact',
        });
      } catch {
        return false; // r or s is 0, or not below the order
      }
    },
  };
}

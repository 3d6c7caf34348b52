/**
 * What the links of a key's signature chain sign, and who signed them. Sources: dstack keys and certificates, GetKey; dstack
 * guest API v1, signature chain.
 */
import { concat, joinBytes } from '../codec/bytes.ts';
import { toHex } from '../codec/hex.ts';
import { utf8Bytes } from '../codec/text.ts';

const CLAIM_TAG = utf8Bytes('dstack-guest-v1-key-claim');
const KMS_TAG = utf8Bytes('dstack-kms-issued:');

/** Each field behind its length: unsigned, 32 bits, big-endian. */
export function lengthPrefixed(...fields: readonly Uint8Array[]): Uint8Array {
  return joinBytes(
    fields.flatMap((field) => {
      const length = new Uint8Array(4);
      new DataView(length.buffer).setUint32(0, field.length);
      return [length, field];
    }),
  );
}

/** What the app key signs of a key that GetKey of the older interface answers. Hashed with keccak256, as all of these. */
export const keyClaimV0 = (purpose: string, publicKey: Uint8Array): Uint8Array =>
  utf8Bytes(`${purpose}:${toHex(publicKey)}`);

/** What the app key signs of a key of the guest API v1. */
export const keyClaimV1 = (domain: string, algorithm: string, publicKey: Uint8Array): Uint8Array =>
  lengthPrefixed(CLAIM_TAG, utf8Bytes(algorithm), utf8Bytes(domain), publicKey);

/** What the root key of the KMS signs of an app key. @param appId 20 bytes @param appKey compressed point, 33 bytes */
export const appKeyClaim = (appId: Uint8Array, appKey: Uint8Array): Uint8Array => concat(KMS_TAG, appId, appKey);

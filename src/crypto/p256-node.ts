/** P-256 by node:crypto. */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { VerifyingKey } from './types.ts';

/** SubjectPublicKeyInfo (RFC 5480) up to the point: of 65 and of 33 bytes. */
const HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
const HEAD_COMPRESSED = Buffer.from('3039301306072a8648ce3d020106082a8648ce3d030107032200', 'hex');

export function p256Key(point: Uint8Array): VerifyingKey | undefined {
  let key: KeyObject;
  try {
    const spki = Buffer.concat([point[0] === 4 ? HEAD : HEAD_COMPRESSED, point]);
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
  return {
    verify: (bytes, signature) =>
      signature.length === 64 && verify('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }, signature),
  };
}

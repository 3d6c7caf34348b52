/** ECDSA P-256 with SHA-256, the one signature of certificates and of requests for them. */
import { createPrivateKey, sign } from 'node:crypto';
import { DstackError } from '../errors.ts';

/** The two DER forms of a P-256 key that certificates are made with. */
export interface SigningKey {
  /** PKCS#8; secret */
  readonly pkcs8Der: Uint8Array;
  /** 91 bytes: SubjectPublicKeyInfo */
  readonly spkiDer: Uint8Array;
}

/**
 * Signs `bytes`. The copy of the key that the signature needs is wiped.
 * @param whose names the key in the error: `the issuer`
 * @returns the signature in DER
 * @throws KEY_INVALID unless it is a P-256 key
 */
export function signP256(bytes: Uint8Array, pkcs8Der: Uint8Array, whose: string): Uint8Array {
  const copy = Buffer.from(pkcs8Der);
  try {
    const key = createPrivateKey({ key: copy, format: 'der', type: 'pkcs8' });
    if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('curve');
    return new Uint8Array(sign('sha256', bytes, key));
  } catch {
    throw new DstackError('KEY_INVALID', `the key of ${whose} is not a P-256 key`);
  } finally {
    copy.fill(0);
  }
}

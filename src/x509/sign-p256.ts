/** ECDSA P-256 with SHA-256, the one signature of certificates and of requests for them. */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto';
import { DstackError } from '../errors.ts';

/** The two DER forms of a P-256 key that certificates are made with. */
export interface SigningKey {
  /** PKCS#8; secret */
  readonly pkcs8Der: Uint8Array;
  /** 91 bytes: SubjectPublicKeyInfo */
  readonly spkiDer: Uint8Array;
}

const notP256 = (whose: string): DstackError =>
  new DstackError('KEY_INVALID', `the key of ${whose} is not a P-256 key`);

/**
 * The key in the form that signs, for whoever signs more than once. Its memory is overwritten when it is collected.
 * @param whose names the key in the error: `the issuer`
 * @throws KEY_INVALID unless it is a P-256 key
 */
export function signingKeyObject(pkcs8Der: Uint8Array, whose: string): KeyObject {
  const copy = Buffer.from(pkcs8Der);
  try {
    const key = createPrivateKey({ key: copy, format: 'der', type: 'pkcs8' });
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch {
    // no cause: a parser's message could quote the key
  } finally {
    copy.fill(0);
  }
  throw notP256(whose);
}

/**
 * Signs `bytes`. The copy of the key that the signature needs is wiped.
 * @param key PKCS#8, or what `signingKeyObject` made of it
 * @param whose names the key in the error: `the issuer`
 * @returns the signature in DER
 * @throws KEY_INVALID unless it is a P-256 key
 */
export function signP256(bytes: Uint8Array, key: Uint8Array | KeyObject, whose: string): Uint8Array {
  const object = key instanceof Uint8Array ? signingKeyObject(key, whose) : key;
  try {
    return new Uint8Array(sign('sha256', bytes, object));
  } catch {
    throw notP256(whose);
  }
}

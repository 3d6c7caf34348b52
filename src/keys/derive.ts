/**
 * Key derivation: HKDF-SHA256 (RFC 5869), with the salt `RATLS` unless another is named, and P-256 keys from its output.
 * Source: dstack keys and certificates, primitives.
 */
import { createECDH, createHash, createHmac, hkdfSync } from 'node:crypto';
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';

const SALT: Uint8Array = Buffer.from('RATLS', 'ascii');

/** A P-256 key pair with its two exact DER forms (both are hashed elsewhere, so their bytes matter). */
export interface P256Key {
  /** 32 bytes, big-endian; secret */
  readonly scalar: Uint8Array;
  /** 138 bytes: PKCS#8, inner ECPrivateKey without parameters and with the public key; secret */
  readonly pkcs8Der: Uint8Array;
  /** 91 bytes: SubjectPublicKeyInfo */
  readonly spkiDer: Uint8Array;
}

/** A part of a derivation path as bytes. */
export const utf8Part = (text: string): Uint8Array => new TextEncoder().encode(text);

/**
 * HKDF-SHA256 whose info is the plain concatenation of `parts`: no separators and no lengths, so `["ab"]` and
 * `["a", "b"]` give the same key. No parts is the same as one empty part.
 */
export function deriveKey(ikm: Uint8Array, parts: readonly Uint8Array[], length: number, salt = SALT): Uint8Array {
  const info = Buffer.concat(parts);
  if (info.length > LONGEST_INFO) return expandLong(ikm, info, length, salt);
  return new Uint8Array(hkdfSync('sha256', ikm, salt, info, length));
}

/** hkdfSync takes no longer info, while RFC 5869 has no limit: paths of an app may be longer. */
const LONGEST_INFO = 1024;

/** RFC 5869, 2.2 and 2.3, step by step. */
function expandLong(ikm: Uint8Array, info: Uint8Array, length: number, salt: Uint8Array): Uint8Array {
  const key = createHmac('sha256', salt).update(ikm).digest();
  const out = Buffer.alloc(32 * Math.ceil(length / 32));
  for (let block = 0; 32 * block < length; block++) {
    const before = out.subarray(Math.max(0, 32 * (block - 1)), 32 * block);
    createHmac('sha256', key)
      .update(before)
      .update(info)
      .update(Uint8Array.of(block + 1))
      .digest()
      .copy(out, 32 * block);
  }
  wipe(key);
  return new Uint8Array(out.subarray(0, length));
}

/**
 * The P-256 key whose scalar is 32 bytes of HKDF output. For a parent key pair `ikm` is its raw scalar.
 * @throws KEY_INVALID if the output is zero or not below the group order (once in 2^32 paths; no retry by definition)
 */
export function deriveP256(ikm: Uint8Array, parts: readonly Uint8Array[]): P256Key {
  return p256FromScalar(deriveKey(ikm, parts, 32));
}

// PKCS#8 for id-ecPublicKey / prime256v1 (RFC 5958, RFC 5915): everything but the scalar and the point is constant
const PKCS8_HEAD = Buffer.from('308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420', 'hex');
const PKCS8_MIDDLE = Buffer.from('a144034200', 'hex');
const SPKI_HEAD = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');

/** @throws KEY_INVALID unless `scalar` is 32 bytes in [1, n-1] */
export function p256FromScalar(scalar: Uint8Array): P256Key {
  const point = p256Point(scalar);
  return {
    scalar,
    pkcs8Der: new Uint8Array(Buffer.concat([PKCS8_HEAD, scalar, PKCS8_MIDDLE, point])),
    spkiDer: new Uint8Array(Buffer.concat([SPKI_HEAD, point])),
  };
}

/** The uncompressed point (65 bytes, first byte 4) of a scalar. */
function p256Point(scalar: Uint8Array): Uint8Array {
  if (scalar.length !== 32) {
    throw new DstackError('KEY_INVALID', `a P-256 scalar has 32 bytes, not ${scalar.length}`);
  }
  const ecdh = createECDH('prime256v1');
  try {
    ecdh.setPrivateKey(scalar); // checks the range
  } catch {
    throw new DstackError('KEY_INVALID', 'the derived bytes are not a valid P-256 scalar');
  }
  return ecdh.getPublicKey();
}

/**
 * A symmetric secret of a path: SHA-256 over the PKCS#8 DER of the derived P-256 key. Used as disk secret and as raw
 * X25519 private key (clamped only inside the X25519 operation).
 */
export function dhSecret(ikm: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
  const key = deriveP256(ikm, parts);
  const secret = new Uint8Array(createHash('sha256').update(key.pkcs8Der).digest());
  wipe(key.scalar, key.pkcs8Der);
  return secret;
}

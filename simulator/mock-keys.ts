/** Keys of the mock PKI: P-256, derived from one seed, with deterministic signatures (dstack simulators, mock PKI). */
import { createHash } from 'node:crypto';
import { p256 } from '@noble/curves/nist';
import { DstackError } from '../src/errors.ts';

/**
 * The seed everything uses unless told otherwise: SHA-256 of `dstack-sim development seed`. It is published here on
 * purpose: whoever trusts the PKI made from it trusts everybody.
 */
export const DEVELOPMENT_SEED = 'e1fd1783797edf9d37bb9e79e11eca8aeff11fbb2ef37b6930564c533c51b00f';

export type KeyLabel = 'tdx-root' | 'tdx-pck-ca' | 'tdx-pck' | 'tdx-tcb' | 'tdx-qe';

export interface MockKey {
  /** 32 bytes */
  readonly scalar: Uint8Array;
  /** uncompressed point, 65 bytes */
  readonly point: Uint8Array;
}

const DOMAIN = 'dstack-mock-p256-v1';

/** scalar = SHA-256(domain | seed | label | counter as BE32), with the first counter that gives a valid one. */
export function mockKey(seed: Uint8Array, label: KeyLabel): MockKey {
  if (seed.length !== 32) {
    throw new DstackError('INPUT_INVALID', `seed has ${seed.length} bytes, not 32`, { field: 'seed' });
  }
  for (let counter = 0; ; counter++) {
    const be32 = Buffer.alloc(4);
    be32.writeUInt32BE(counter);
    const scalar = new Uint8Array(createHash('sha256').update(DOMAIN).update(seed).update(label).update(be32).digest());
    if (p256.utils.isValidPrivateKey(scalar)) return { scalar, point: p256.getPublicKey(scalar, false) };
  }
}

/**
 * Another key each time. Not by generateKeyPairSync of node:crypto: exporting such a key as JWK can stop a process of Node 20
 * for ever (the garbage collector waits for the lock of the key that is being exported).
 */
export function freshKey(): MockKey {
  const scalar = p256.utils.randomPrivateKey();
  return { scalar, point: p256.getPublicKey(scalar, false) };
}

/** ECDSA over SHA-256(message) with an RFC 6979 nonce: equal keys and messages give equal signatures. */
function sign(key: MockKey, message: Uint8Array) {
  return p256.sign(createHash('sha256').update(message).digest(), key.scalar, { lowS: false });
}

/** r | s, 64 bytes: quotes and collateral */
export const signRaw = (key: MockKey, message: Uint8Array): Uint8Array => sign(key, message).toCompactRawBytes();

/** DER: certificates and CRLs */
export const signDer = (key: MockKey, message: Uint8Array): Uint8Array => sign(key, message).toDERRawBytes();

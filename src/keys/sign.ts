/** Sign and Verify: the application signs with its key of path `vms`. Source: dstack keys and certificates, Sign/Verify. */
import { createHash } from 'node:crypto';
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import { ed25519Sign, ed25519Verify } from './ed25519.ts';
import { type DerivedKey, getKey, type SigningKeys } from './get-key.ts';
import { k256Signer } from './k256-signer.ts';
import { KeyCache } from './key-cache.ts';

export interface Signature {
  /** 64 bytes */
  readonly signature: Uint8Array;
  /** 33 or 32 bytes */
  readonly publicKey: Uint8Array;
  /** [signature, signature of the app key over the public key, signature of the KMS over the app key] */
  readonly signatureChain: readonly Uint8Array[];
}

type SignAlgorithm = 'ed25519' | 'secp256k1' | 'secp256k1_prehashed';

/** Bytes of what `secp256k1_prehashed` signs. */
export const DIGEST_LENGTH = 32;
/** Bytes of a signature of any algorithm, and of the public keys: ed25519, a compressed and an uncompressed point. */
export const SIGNATURE_LENGTH = 64;
export const PUBLIC_KEY_LENGTHS = [32, 33, 65] as const;

const KINDS: ReadonlyMap<string, SignAlgorithm> = new Map([
  ['ed25519', 'ed25519'],
  ['secp256k1', 'secp256k1'],
  ['k256', 'secp256k1'],
  ['secp256k1_prehashed', 'secp256k1_prehashed'],
]);

/** The names that Sign and Verify know. */
export const SIGN_ALGORITHM_NAMES: readonly string[] = [...KINDS.keys()];
/** Those of them that name a key: `appKeyReportData`. */
export const APP_KEY_ALGORITHM_NAMES: readonly string[] = [...KINDS].flatMap(([name, kind]) =>
  kind === 'secp256k1_prehashed' ? [] : [name],
);

function signAlgorithm(algorithm: string): SignAlgorithm {
  const kind = KINDS.get(algorithm);
  if (kind !== undefined) return kind;
  throw new DstackError('ALGORITHM_UNSUPPORTED', 'Unsupported algorithm', { field: 'algorithm', value: algorithm });
}

/** The key is the same every time: a cache saves its derivation and the signature over its public key. */
function signingKey(keys: SigningKeys | KeyCache, algorithm: 'ed25519' | 'secp256k1', scope = ''): Promise<DerivedKey> {
  const [path, purpose] = [`${scope}vms`, `${scope}signing`];
  return keys instanceof KeyCache ? keys.get(path, purpose, algorithm) : getKey(keys, path, purpose, algorithm);
}

const sha256 = (data: Uint8Array): Uint8Array => createHash('sha256').update(data).digest();

/** r | s, without the recovery id. */
async function signCompact(scalar: Uint8Array, hash: Uint8Array): Promise<Uint8Array> {
  return (await k256Signer()).signRecoverable(scalar, hash).slice(0, 64);
}

/**
 * Signs: ed25519 and secp256k1 take data of any length, secp256k1_prehashed a 32-byte digest.
 * @param scope stands before path and purpose of the key, for callers that must not sign as the whole app
 * @throws ALGORITHM_UNSUPPORTED, INPUT_INVALID (digest of another length)
 */
export async function signData(
  keys: SigningKeys | KeyCache,
  algorithm: string,
  data: Uint8Array,
  scope = '',
): Promise<Signature> {
  const kind = signAlgorithm(algorithm);
  if (kind === 'secp256k1_prehashed' && data.length !== DIGEST_LENGTH) {
    // the wording is part of the interface: clients match on it
    const message = `Pre-hashed signing requires a 32-byte digest, but received ${data.length} bytes`;
    throw new DstackError('INPUT_INVALID', message, { field: 'data', value: data.length });
  }
  const derived = await signingKey(keys, kind === 'ed25519' ? 'ed25519' : 'secp256k1', scope);
  try {
    const signature =
      kind === 'ed25519'
        ? ed25519Sign(derived.key, data)
        : await signCompact(derived.key, kind === 'secp256k1' ? sha256(data) : data);
    return { signature, publicKey: derived.publicKey, signatureChain: [signature, ...derived.signatureChain] };
  } finally {
    wipe(derived.key);
  }
}

/**
 * Verifies a signature of any key.
 * @throws ALGORITHM_UNSUPPORTED, KEY_INVALID for a malformed key or signature (a wrong one is just false)
 */
export async function verifyData(
  algorithm: string,
  data: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
): Promise<boolean> {
  const kind = signAlgorithm(algorithm);
  if (kind === 'ed25519') return ed25519Verify(publicKey, data, signature);
  const signer = await k256Signer();
  if (kind === 'secp256k1') return signer.verifyCompact(publicKey, sha256(data), signature);
  const hash = prehash(data);
  // the key and the signature are judged first: malformed ones are errors even beside a short digest
  const valid = signer.verifyCompact(publicKey, hash ?? new Uint8Array(DIGEST_LENGTH), signature);
  return hash !== undefined && valid;
}

/** ECDSA takes the leftmost 32 bytes of a longer digest and pads a shorter one; under 16 bytes it is not a digest at all. */
function prehash(data: Uint8Array): Uint8Array | undefined {
  if (data.length < DIGEST_LENGTH / 2) return undefined;
  const out = new Uint8Array(DIGEST_LENGTH);
  const used = data.subarray(0, DIGEST_LENGTH);
  out.set(used, DIGEST_LENGTH - used.length);
  return out;
}

/**
 * The report data that binds the signing key to a quote: `dip1::<kind>:<base64url of the public key>`, zero padded to 64.
 * @throws ALGORITHM_UNSUPPORTED, also for the empty name and secp256k1_prehashed
 */
export async function appKeyReportData(keys: SigningKeys | KeyCache, algorithm: string): Promise<Uint8Array> {
  const kind = signAlgorithm(algorithm);
  if (kind === 'secp256k1_prehashed') {
    throw new DstackError('ALGORITHM_UNSUPPORTED', 'Unsupported algorithm', { field: 'algorithm', value: algorithm });
  }
  const { key, publicKey } = await signingKey(keys, kind);
  wipe(key);
  const label = kind === 'ed25519' ? 'ed25519-pk' : 'secp256k1c-pk';
  const out = new Uint8Array(64);
  out.set(Buffer.from(`dip1::${label}:${Buffer.from(publicKey).toString('base64url')}`, 'ascii'));
  return out;
}

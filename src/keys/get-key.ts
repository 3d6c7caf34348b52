/**
 * GetKey: application keys by path, with a signature chain that leads to the app's own key and from there to the KMS.
 * Source: dstack keys and certificates, GetKey.
 */
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import { deriveKey, utf8Part } from './derive.ts';
import { ed25519PublicKey } from './ed25519.ts';
import { type K256Signer, k256Signer } from './k256-signer.ts';
import { keyClaimV0 } from './signature-chain.ts';

export interface DerivedKey {
  /** 32 bytes; secret. The same for both algorithms: path is the only thing that separates keys */
  readonly key: Uint8Array;
  /** compressed point (33 bytes) or ed25519 public key (32 bytes) */
  readonly publicKey: Uint8Array;
  /** [signature of the app key over the public key (65 bytes), signature of the KMS over the app key (65 bytes or empty)] */
  readonly signatureChain: readonly Uint8Array[];
}

/** What GetKey needs of the app keys. */
export interface SigningKeys {
  /** 32 bytes; secret */
  readonly k256Key: Uint8Array;
  readonly k256Signature: Uint8Array;
}

export type KeyAlgorithm = 'secp256k1' | 'ed25519';

const KINDS: ReadonlyMap<string, KeyAlgorithm> = new Map([
  ['', 'secp256k1'],
  ['secp256k1', 'secp256k1'],
  ['k256', 'secp256k1'],
  ['ed25519', 'ed25519'],
]);

/** The names that `keyAlgorithm` knows. */
export const KEY_ALGORITHM_NAMES: readonly string[] = [...KINDS.keys()];

/** Resolves the alias `k256` and the default. @throws ALGORITHM_UNSUPPORTED with the text clients know */
export function keyAlgorithm(algorithm: string): KeyAlgorithm {
  const kind = KINDS.get(algorithm);
  if (kind !== undefined) return kind;
  throw new DstackError('ALGORITHM_UNSUPPORTED', 'Unsupported algorithm', { field: 'algorithm', value: algorithm });
}

/** loaded by the first key */
let loading: Promise<[K256Signer, typeof import('./keccak256.ts')]> | undefined;

/**
 * The answer about a derived key: its public key, and the chain whose first link is the app's signature over `claim`.
 * Takes over `key`: it is wiped if this fails, because nobody else will.
 * @param claim the bytes that are hashed with keccak256 and signed, made from the public key
 * @throws KEY_INVALID for a scalar that is zero or not below the order
 */
export async function withSignatureChain(
  keys: SigningKeys,
  kind: KeyAlgorithm,
  key: Uint8Array,
  claim: (publicKey: Uint8Array) => Uint8Array,
): Promise<DerivedKey> {
  try {
    loading ??= Promise.all([k256Signer(), import('./keccak256.ts')]);
    const [signer, { keccak256 }] = await loading;
    const publicKey = kind === 'ed25519' ? ed25519PublicKey(key) : signer.publicKey(key);
    const signature = signer.signRecoverable(keys.k256Key, keccak256(claim(publicKey)));
    return { key, publicKey, signatureChain: [signature, keys.k256Signature] };
  } catch (thrown) {
    wipe(key);
    throw thrown;
  }
}

/**
 * Derives a key. `purpose` is signed, but does not influence the key.
 * @throws ALGORITHM_UNSUPPORTED, KEY_INVALID
 */
export async function getKey(keys: SigningKeys, path: string, purpose: string, algorithm: string): Promise<DerivedKey> {
  const kind = keyAlgorithm(algorithm);
  const key = deriveKey(keys.k256Key, [utf8Part(path)], 32);
  return withSignatureChain(keys, kind, key, (publicKey) => keyClaimV0(purpose, publicKey));
}

/**
 * GetKey: application keys by path, with a signature chain that leads to the app's own key and from there to the KMS.
 * Source: dstack keys and certificates, GetKey.
 */
import { createHash } from 'node:crypto';
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import { deriveKey, utf8Part } from './derive.ts';
import { ed25519PublicKey } from './ed25519.ts';
import { type K256Signer, k256Signer } from './k256-signer.ts';

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

/** Resolves the alias `k256` and the default. @throws ALGORITHM_UNSUPPORTED with the text clients know */
export function keyAlgorithm(algorithm: string): KeyAlgorithm {
  if (algorithm === '' || algorithm === 'secp256k1' || algorithm === 'k256') return 'secp256k1';
  if (algorithm === 'ed25519') return 'ed25519';
  throw new DstackError('ALGORITHM_UNSUPPORTED', 'Unsupported algorithm', { field: 'algorithm', value: algorithm });
}

/** loaded by the first key */
let loading: Promise<[K256Signer, typeof import('./keccak256.ts')]> | undefined;

/**
 * Derives a key. `purpose` is signed, but does not influence the key.
 * @throws ALGORITHM_UNSUPPORTED, KEY_INVALID
 */
export async function getKey(keys: SigningKeys, path: string, purpose: string, algorithm: string): Promise<DerivedKey> {
  const kind = keyAlgorithm(algorithm);
  loading ??= Promise.all([k256Signer(), import('./keccak256.ts')]);
  const [signer, { keccak256 }] = await loading;
  const key = deriveKey(keys.k256Key, [utf8Part(path)], 32);
  try {
    const publicKey = kind === 'ed25519' ? ed25519PublicKey(key) : signer.publicKey(key);
    const message = utf8Part(`${purpose}:${Buffer.from(publicKey).toString('hex')}`);
    const signature = signer.signRecoverable(keys.k256Key, keccak256(message));
    return { key, publicKey, signatureChain: [signature, keys.k256Signature] };
  } catch (thrown) {
    wipe(key); // nobody else will
    throw thrown;
  }
}

/** Most answers a cache keeps: callers ask for a handful of paths, an attacker in the app for any number. */
const CACHE_LIMIT = 256;

/**
 * GetKey with a bounded cache: the answer is a pure function of its arguments and without libsecp256k1 a signature costs 0.2 ms. The cache
 * holds secrets, so it wipes what it drops; `clear` ends its life. Callers get copies of the key.
 */
export class KeyCache {
  readonly #keys: SigningKeys;
  readonly #limit: number;
  readonly #entries = new Map<string, DerivedKey>();

  constructor(keys: SigningKeys, limit = CACHE_LIMIT) {
    this.#keys = keys;
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** As `getKey`. */
  async get(path: string, purpose: string, algorithm: string): Promise<DerivedKey> {
    const id = cacheId(path, purpose, keyAlgorithm(algorithm));
    const hit = this.#entries.get(id);
    if (hit !== undefined) {
      this.#entries.delete(id); // least recently used goes first
      this.#entries.set(id, hit);
      return copy(hit);
    }
    const fresh = await getKey(this.#keys, path, purpose, algorithm);
    this.#drop(id);
    this.#entries.set(id, fresh);
    if (this.#entries.size > this.#limit) this.#drop(this.#entries.keys().next().value!);
    return copy(fresh);
  }

  #drop(id: string): void {
    wipe(this.#entries.get(id)?.key);
    this.#entries.delete(id);
  }

  /** Wipes everything. */
  clear(): void {
    for (const id of [...this.#entries.keys()]) this.#drop(id);
  }
}

/** Longer names are hashed, so that huge paths do not stay in memory. */
const LONGEST_NAME = 256;

function cacheId(path: string, purpose: string, algorithm: KeyAlgorithm): string {
  if (path.length + purpose.length <= LONGEST_NAME) return `${algorithm} ${path.length} ${path}${purpose}`;
  const text = JSON.stringify([path, purpose, algorithm]);
  return createHash('sha256').update(text).digest('base64');
}

const copy = (entry: DerivedKey): DerivedKey => ({ ...entry, key: Uint8Array.from(entry.key) });

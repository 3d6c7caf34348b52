/** The answers of GetKey that were given before: a new one costs a derivation and a signature. */
import { createHash } from 'node:crypto';
import { wipe } from '../sys/files.ts';
import { type DerivedKey, getKey, type KeyAlgorithm, keyAlgorithm, type SigningKeys } from './get-key.ts';
import { getKeyV1, keyAlgorithmV1 } from './get-key-v1.ts';

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
  get(path: string, purpose: string, algorithm: string): Promise<DerivedKey> {
    const id = cacheId(path, purpose, keyAlgorithm(algorithm));
    return this.#remembered(id, () => getKey(this.#keys, path, purpose, algorithm));
  }

  /** As `getKeyV1`. */
  async getV1(domain: string, algorithm: string): Promise<DerivedKey> {
    const id = `v1 ${cacheId(domain, '', keyAlgorithmV1(algorithm))}`;
    return this.#remembered(id, () => getKeyV1(this.#keys, domain, algorithm));
  }

  async #remembered(id: string, make: () => Promise<DerivedKey>): Promise<DerivedKey> {
    const hit = this.#entries.get(id);
    if (hit !== undefined) {
      this.#entries.delete(id); // least recently used goes first
      this.#entries.set(id, hit);
      return copy(hit);
    }
    const fresh = await make();
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

const copy = (entry: DerivedKey): DerivedKey => ({ ...entry, key: new Uint8Array(entry.key) });

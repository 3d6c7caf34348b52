/** SHA-2 by node:crypto. */
import { createHash } from 'node:crypto';
import type { Hasher, HashName } from './types.ts';

export function createHasher(name: HashName): Hasher {
  const hash = createHash(name);
  const out: Hasher = {
    update(bytes) {
      hash.update(bytes);
      return out;
    },
    digest: () => new Uint8Array(hash.digest()),
  };
  return out;
}

/** SHA-2 in plain JavaScript. Web Crypto has it too, but only as a promise and only for a whole message. */
import { sha256, sha384, sha512 } from '@noble/hashes/sha2';
import type { Hasher, HashName } from './types.ts';

const HASHES = { sha256, sha384, sha512 } as const;

export function createHasher(name: HashName): Hasher {
  const hash = HASHES[name].create();
  const out: Hasher = {
    update(bytes) {
      hash.update(bytes);
      return out;
    },
    digest: () => hash.digest(),
  };
  return out;
}

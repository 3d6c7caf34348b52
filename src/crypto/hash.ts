/**
 * SHA-2 (FIPS 180-4). `#hash` is node:crypto under Node and Bun, and plain JavaScript where there is none (package.json,
 * `imports`). The calls return at once in both.
 */
import { createHasher } from '#hash';
import type { Hasher, HashName } from './types.ts';

export type { Hasher, HashName } from './types.ts';

export const hasher = (name: HashName): Hasher => createHasher(name);

function digest(name: HashName, parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHasher(name);
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** 32 bytes: of all parts behind each other, also below */
export const sha256 = (...parts: readonly Uint8Array[]): Uint8Array => digest('sha256', parts);
/** 48 bytes */
export const sha384 = (...parts: readonly Uint8Array[]): Uint8Array => digest('sha384', parts);
/** 64 bytes */
export const sha512 = (...parts: readonly Uint8Array[]): Uint8Array => digest('sha512', parts);

/** The hash of the GPU policy that identity documents bind. Source: dstack formats, requirements. */

import { canonicalJson } from '../codec/jcs.ts';
import { utf8Bytes } from '../codec/text.ts';
import { sha256 } from '../crypto/hash.ts';
import { isObject } from './strict-json.ts';

/** SHA-256 over the canonical form of the policy AS WRITTEN: an explicitly written default hashes differently from none. */
export function gpuPolicyHash(document: unknown): Uint8Array {
  const requirements = own(document, 'requirements');
  const policy = own(requirements, 'gpu_policy');
  const text = policy === undefined ? '{}' : canonicalJson(policy); // a written null is not an absent policy
  return sha256(utf8Bytes(text));
}

const own = (value: unknown, key: string): unknown =>
  isObject(value) && Object.hasOwn(value, key) ? value[key] : undefined;

/**
 * Checking ECDSA signatures over P-256 with SHA-256 (FIPS 186-5, 6.4), for certificates, revocation lists and collateral.
 * `#p256` is node:crypto under Node and Bun, and plain JavaScript where there is none. Both accept the same signatures.
 */
import { p256Key } from '#p256';
import type { VerifyingKey } from './types.ts';

export type { VerifyingKey } from './types.ts';

const POINT = 65;
const COMPRESSED = 33;

/** The key of a point (SEC 1, 2.3.3): 04 | x | y, or 02 or 03 | x. Undefined when it is not one on the curve. */
export function p256PublicKey(point: Uint8Array): VerifyingKey | undefined {
  const [form = 0] = point;
  const whole = form === 4 && point.length === POINT;
  const compressed = (form === 2 || form === 3) && point.length === COMPRESSED;
  return whole || compressed ? p256Key(point) : undefined;
}

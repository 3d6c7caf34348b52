/** App id and instance id: pure functions of the app's document and this instance's seed. Source: dstack identity. */
import { createHash } from 'node:crypto';
import { DstackError } from '../errors.ts';

/** Bytes of an app id and of an instance id. */
export const ID_LENGTH = 20;

/** The app id the host names, else the first 20 bytes of the compose hash. @throws DOCUMENT_INVALID for another length */
export function effectiveAppId(named: Uint8Array, composeHash: Uint8Array): Uint8Array {
  if (named.length === 0) return composeHash.slice(0, ID_LENGTH);
  if (named.length !== ID_LENGTH) {
    throw new DstackError(
      'DOCUMENT_INVALID',
      `invalid app id length: expected ${ID_LENGTH} bytes, got ${named.length}`,
      {
        path: '.instance_info',
        field: 'app_id',
        value: Buffer.from(named).toString('hex'),
      },
    );
  }
  return named;
}

/**
 * SHA-256(seed | app id | binding), first 20 bytes. `binding` ties the instance to a platform and is empty on plain TDX.
 * The caller leaves the id empty when app-compose.json says no_instance_id.
 */
export function computeInstanceId(
  seed: Uint8Array,
  appId: Uint8Array,
  binding: Uint8Array = new Uint8Array(),
): Uint8Array {
  const digest = createHash('sha256').update(seed).update(appId).update(binding).digest();
  return Uint8Array.from(digest.subarray(0, ID_LENGTH));
}

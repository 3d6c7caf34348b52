/** Who this instance is: app id, instance id and the seed that keeps it the same (dstack measurement, identity values). */
import { toHex } from '../codec/hex.ts';
import type { AppCompose } from '../config/app-compose.ts';
import type { InstanceInfo } from '../config/instance-info.ts';
import { HOST_SHARED } from '../config/paths.ts';
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';

export const ID_BYTES = 20;

const randomBytes = (size: number): Uint8Array => crypto.getRandomValues(new Uint8Array(size));

/**
 * Computes the identity from what the host stored of the last boot.
 *
 * With key provider none nothing survives a boot, so the instance is new each time.
 * @throws DOCUMENT_INVALID when the stored app id has another length than 20 bytes
 */
export function computeIdentity(
  compose: AppCompose,
  stored: InstanceInfo,
  random: (size: number) => Uint8Array = randomBytes,
): InstanceInfo {
  const appId = stored.appId.length > 0 ? stored.appId : compose.composeHash.slice(0, ID_BYTES);
  if (appId.length !== ID_BYTES) {
    throw new DstackError(
      'DOCUMENT_INVALID',
      `invalid app id length: expected ${ID_BYTES} bytes, got ${appId.length}`,
      {
        path: HOST_SHARED.instanceInfo,
        field: 'app_id',
        value: toHex(appId),
      },
    );
  }
  const keep = stored.instanceIdSeed.length > 0 && compose.keyProvider !== 'none';
  const instanceIdSeed = keep ? stored.instanceIdSeed : random(ID_BYTES);
  return {
    instanceIdSeed,
    appId,
    instanceId: compose.noInstanceId ? new Uint8Array() : instanceId(instanceIdSeed, appId),
  };
}

/** SHA-256(seed | app id | binding), first 20 bytes. The binding to a vTPM is empty on dstack's own TDX platform. */
export function instanceId(seed: Uint8Array, appId: Uint8Array, binding = new Uint8Array()): Uint8Array {
  return sha256(seed, appId, binding).subarray(0, ID_BYTES);
}

/**
 * The public key a deployer encrypts an app's environment for, as a KMS signs it. Whoever hands out this key reads the
 * secrets, so it counts only with the signature of the KMS one trusts. Source: dstack keys and certificates, KMS keys;
 * the rules of age are those of the official SDK.
 */
import { DstackError } from '../errors.ts';

/** A signed answer older than this is refused, in seconds. */
export const MAX_AGE_S = 300;
/** clocks may differ by this much */
const MAX_AHEAD_S = 60;
const TAG = new TextEncoder().encode('dstack-env-encrypt-pubkey:');

export interface SignedEnvKey {
  /** X25519, 32 bytes */
  readonly publicKey: Uint8Array;
  /** recoverable signature, 65 bytes */
  readonly signature: Uint8Array;
  /** Unix seconds, part of what was signed; absent in the legacy form, which an attacker can replay for ever */
  readonly timestamp?: number;
}

/** What the KMS signs, before keccak256: tag, app id, time (8 bytes, big-endian; not in the legacy form), public key. */
export function envKeyMessage(appId: Uint8Array, publicKey: Uint8Array, timestamp?: number): Uint8Array {
  const time = new Uint8Array(timestamp === undefined ? 0 : 8);
  if (timestamp !== undefined) new DataView(time.buffer).setBigUint64(0, BigInt(timestamp));
  return new Uint8Array(Buffer.concat([TAG, appId, time, publicKey]));
}

/**
 * Checks lengths and age and recovers who signed.
 * @returns the compressed secp256k1 key (33 bytes) of the signer; it is up to the caller to know it
 * @throws KEY_INVALID
 */
export async function recoverEnvKeySigner(
  { publicKey, signature, timestamp }: SignedEnvKey,
  appId: Uint8Array,
  now = Math.floor(Date.now() / 1000),
  maxAge = MAX_AGE_S,
): Promise<Uint8Array> {
  const refuse = (message: string, field: string, value: number): never => {
    throw new DstackError('KEY_INVALID', message, { field, value });
  };
  if (publicKey.length !== 32) refuse('the public key must have 32 bytes', 'public_key', publicKey.length);
  if (signature.length !== 65) refuse('the signature must have 65 bytes', 'signature', signature.length);
  if (appId.length !== 20) refuse('the app id must have 20 bytes', 'app_id', appId.length);
  if (timestamp !== undefined) {
    const age = now - timestamp;
    if (!Number.isSafeInteger(timestamp) || timestamp < 0)
      refuse('the timestamp is not a time', 'timestamp', timestamp);
    if (age > maxAge) refuse(`the signature is ${age} s old, at most ${maxAge} s are accepted`, 'timestamp', timestamp);
    if (age < -MAX_AHEAD_S) refuse(`the signature is ${-age} s in the future`, 'timestamp', timestamp);
  }
  const { keccak256, recoverPublicKey } = await import('./secp256k1.ts');
  return recoverPublicKey(signature, keccak256(envKeyMessage(appId, publicKey, timestamp)));
}

/** As `recoverEnvKeySigner`, and the signer must be the given one. @throws KEY_INVALID */
export async function verifyEnvKey(
  signed: SignedEnvKey,
  appId: Uint8Array,
  signer: Uint8Array,
  now?: number,
  maxAge?: number,
): Promise<void> {
  const found = Buffer.from(await recoverEnvKeySigner(signed, appId, now, maxAge));
  if (found.equals(signer)) return;
  throw new DstackError('KEY_INVALID', 'the environment key is signed by another KMS, or for another app', {
    field: 'signer',
    value: found.toString('hex'),
    hint: 'do not encrypt for this key: compare --signer and --app-id with what your KMS publishes',
  });
}

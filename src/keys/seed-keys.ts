/**
 * The keys of the app from one 32-byte seed: what the providers none, local and tpm do. The KMS computes its keys itself.
 * Source: dstack keys and certificates, app keys.
 */
import { randomBytes } from 'node:crypto';
import type { AppKeys, KeyProviderRecord } from '../config/app-keys.ts';
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import { toPem } from '../x509/x509.ts';
import { deriveKey, deriveP256, dhSecret, type P256Key, utf8Part } from './derive.ts';
import { isK256Scalar } from './k256-scalar.ts';

/** Bytes of a seed. */
export const SEED_LENGTH = 32;

/** A key provider that gives a seed, without the key that is derived from it. */
export type SeedProvider =
  | { readonly kind: 'none' }
  | { readonly kind: 'local'; readonly mr: Uint8Array }
  | { readonly kind: 'tpm'; readonly pubkey: Uint8Array };

/** App keys that still lack the CA certificate (which wants a quote first), and the key of that certificate. */
export type SeedKeys = Omit<AppKeys, 'caCert'> & { readonly appKey: P256Key };

/**
 * Derives everything from a seed. The caller wipes the seed, and `appKey` once its certificate is made.
 * @throws KEY_INVALID for a seed of another length, or one that derives no valid keys
 */
export function keysFromSeed(seed: Uint8Array, provider: SeedProvider): SeedKeys {
  if (seed.length !== SEED_LENGTH) {
    throw new DstackError('KEY_INVALID', `a key seed has ${SEED_LENGTH} bytes, not ${seed.length}`);
  }
  const k256Key = deriveKey(seed, [utf8Part('app-k256-key')], 32);
  // the definition knows no second try: a seed whose key is none (one in 2^127) cannot be used
  if (!isK256Scalar(k256Key))
    throw new DstackError('KEY_INVALID', 'the key derived from the seed is not a valid secp256k1 key');
  const appKey = deriveP256(seed, [utf8Part('app-key')]);
  return {
    diskCryptKey: dhSecret(seed, [utf8Part('app-disk-key')]),
    envCryptKey: new Uint8Array(),
    k256Key,
    k256Signature: new Uint8Array(),
    gatewayAppId: '',
    keyProvider: keyProvider(provider, toPem('PRIVATE KEY', appKey.pkcs8Der)),
    appKey,
  };
}

function keyProvider(provider: SeedProvider, key: string): KeyProviderRecord {
  switch (provider.kind) {
    case 'none':
      return { kind: 'none', key };
    case 'local':
      return { kind: 'local', key, mr: provider.mr };
    case 'tpm':
      return { kind: 'tpm', key, pubkey: provider.pubkey };
  }
}

/** Keys of provider none: a new random seed each boot, so the app must not keep anything. */
export function ephemeralKeys(): SeedKeys {
  const seed = new Uint8Array(randomBytes(SEED_LENGTH));
  try {
    return keysFromSeed(seed, { kind: 'none' });
  } finally {
    wipe(seed);
  }
}

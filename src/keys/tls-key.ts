/** Keys for TLS certificates: fresh ones (GetTlsKey) and those by path (DeriveKey). The key pairs are P-256. */
import { randomBytes } from 'node:crypto';
import { wipe } from '../sys/files.ts';
import { toPem } from '../x509/x509.ts';
import { deriveP256, type P256Key, utf8Part } from './derive.ts';

/** A new random key. */
export function freshTlsKey(): P256Key {
  return fromRandom([]);
}

/** The key of a path under the app's k256 key: the same every time. With `random` a new one every time. */
export function tlsKeyOfPath(k256Key: Uint8Array, path: string, random = false): P256Key {
  const parts = [utf8Part(path)];
  return random ? fromRandom(parts) : deriveP256(k256Key, parts);
}

function fromRandom(parts: readonly Uint8Array[]): P256Key {
  const seed = new Uint8Array(randomBytes(32));
  try {
    return deriveP256(seed, parts);
  } finally {
    wipe(seed);
  }
}

/** The form clients get: PKCS#8 PEM. */
export const privateKeyPem = (key: P256Key): string => toPem('PRIVATE KEY', key.pkcs8Der);

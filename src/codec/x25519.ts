/** Raw X25519 keys (32 bytes, RFC 7748) as the key objects of node:crypto, which knows them in DER only (RFC 8410). */
import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';

// the whole encoding of a key is this prefix and 32 bytes
const PRIVATE_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex');
const PUBLIC_HEAD = Buffer.from('302a300506032b656e032100', 'hex');

function privateKey(raw: Uint8Array): KeyObject {
  const der = Buffer.concat([PRIVATE_HEAD, raw]);
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } finally {
    der.fill(0);
  }
}

const publicKey = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([PUBLIC_HEAD, raw]), format: 'der', type: 'spki' });

/** The public key of a private one, 32 bytes; the private key is clamped inside the operation only. */
export function x25519PublicKey(secret: Uint8Array): Uint8Array {
  const der = createPublicKey(privateKey(secret)).export({ format: 'der', type: 'spki' });
  return new Uint8Array(der.subarray(PUBLIC_HEAD.length));
}

/**
 * The shared secret, 32 bytes (RFC 7748, 6.1).
 * @returns undefined when it is all zero, as a public key of small order makes it: such a secret must not be used
 */
export function x25519Shared(secret: Uint8Array, peer: Uint8Array): Uint8Array | undefined {
  let shared: Uint8Array;
  try {
    shared = diffieHellman({ privateKey: privateKey(secret), publicKey: publicKey(peer) });
  } catch {
    return undefined; // OpenSSL refuses a point of small order by itself
  }
  return shared.every((byte) => byte === 0) ? undefined : shared;
}

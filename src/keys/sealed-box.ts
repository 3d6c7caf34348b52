/**
 * Opening libsodium's sealed boxes (crypto_box_seal): an anonymous sender's ephemeral public key, then a box from it to
 * us. X25519 with HSalsa20, XSalsa20-Poly1305, nonce = BLAKE2b-192(ephemeral key | our key). Source: libsodium
 * documentation, sealed boxes; dstack services, local key provider.
 */
import { hsalsa, xsalsa20poly1305 } from '@noble/ciphers/salsa';
import { blake2b } from '@noble/hashes/blake2b';
import { x25519PublicKey, x25519Shared } from '../codec/x25519.ts';
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';

const PUBLIC_KEY = 32;
const NONCE = 24;
const TAG = 16;

const u32 = (bytes: Uint8Array): Uint32Array => new Uint32Array(new Uint8Array(bytes).buffer);
/** "expand 32-byte k", the constant of the Salsa20 family */
const SIGMA = u32(Buffer.from('expand 32-byte k', 'ascii'));

/**
 * Opens a sealed box.
 * @param secret our X25519 private key, 32 bytes
 * @returns the plaintext; the caller wipes it
 * @throws KEY_INVALID when it was not sealed for this key, or was changed
 */
export function openSealedBox(sealed: Uint8Array, secret: Uint8Array): Uint8Array {
  if (sealed.length < PUBLIC_KEY + TAG) {
    throw new DstackError('KEY_INVALID', `a sealed box has at least ${PUBLIC_KEY + TAG} bytes, not ${sealed.length}`);
  }
  const ephemeral = sealed.subarray(0, PUBLIC_KEY);
  const shared = x25519Shared(secret, ephemeral);
  if (shared === undefined) throw new DstackError('KEY_INVALID', 'the sealed box has an invalid X25519 public key');
  const key = boxKey(shared);
  const nonce = blake2b(Buffer.concat([ephemeral, x25519PublicKey(secret)]), { dkLen: NONCE });
  try {
    return xsalsa20poly1305(key, nonce).decrypt(new Uint8Array(sealed.subarray(PUBLIC_KEY)));
  } catch {
    throw new DstackError('KEY_INVALID', 'the sealed box does not open with this key');
  } finally {
    wipe(shared, key);
  }
}

/** HSalsa20 of the shared secret with a zero input: the key that NaCl's box computes beforehand. */
function boxKey(shared: Uint8Array): Uint8Array {
  const out = new Uint32Array(8);
  const words = u32(shared);
  hsalsa(SIGMA, words, new Uint32Array(4), out);
  words.fill(0);
  return new Uint8Array(out.buffer);
}

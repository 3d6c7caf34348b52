/**
 * The cipher of the encrypted environment: X25519 with an ephemeral key, the raw shared secret as AES-256-GCM key, no
 * additional data. Layout: ephemeral public key (32) | nonce (12) | ciphertext | tag (16). Source: dstack formats,
 * encrypted environment.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { x25519PublicKey, x25519Shared } from '../codec/x25519.ts';
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import { HOST_SHARED } from './paths.ts';

const PUBLIC_KEY = 32;
const NONCE = 12;
const TAG = 16;

const malformed = (message: string, field?: string): DstackError =>
  new DstackError('ENV_MALFORMED', message, { path: HOST_SHARED.encryptedEnv, field });

/** The decrypted bytes. The caller wipes them. @throws ENV_DECRYPT_FAILED, ENV_MALFORMED */
export function openEnvBlob(envCryptKey: Uint8Array, blob: Uint8Array): Uint8Array {
  if (envCryptKey.length !== 32) {
    const message = `the environment key has ${envCryptKey.length} bytes instead of 32`;
    throw new DstackError('ENV_DECRYPT_FAILED', message, { field: 'env_crypt_key' });
  }
  if (blob.length < PUBLIC_KEY + NONCE + TAG) {
    throw malformed(`the encrypted environment has only ${blob.length} bytes`);
  }
  const shared = x25519Shared(envCryptKey, blob.subarray(0, PUBLIC_KEY));
  if (shared === undefined) throw malformed('invalid X25519 shared secret');
  const end = blob.length - TAG;
  let head: Buffer | undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', shared, blob.subarray(PUBLIC_KEY, PUBLIC_KEY + NONCE));
    decipher.setAuthTag(blob.subarray(end));
    head = decipher.update(blob.subarray(PUBLIC_KEY + NONCE, end));
    decipher.final(); // the tag is checked here
    return head;
  } catch {
    wipe(head);
    throw new DstackError('ENV_DECRYPT_FAILED', 'the encrypted environment does not open with the key of this app', {
      path: HOST_SHARED.encryptedEnv,
    });
  } finally {
    wipe(shared);
  }
}

/**
 * Encrypts for the holder of an X25519 public key (32 bytes), with a fresh ephemeral key and nonce each time.
 * @throws INPUT_INVALID for a public key of another length or of small order
 */
export function sealEnvBlob(plaintext: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const refuse = (why: string): never => {
    throw new DstackError('INPUT_INVALID', `the environment cannot be encrypted for this public key: ${why}`, {
      field: 'public_key',
    });
  };
  if (publicKey.length !== PUBLIC_KEY) refuse(`it has ${publicKey.length} bytes instead of ${PUBLIC_KEY}`);
  const ephemeral = new Uint8Array(randomBytes(PUBLIC_KEY));
  const shared = x25519Shared(ephemeral, publicKey) ?? refuse('it is a point of small order');
  try {
    const nonce = randomBytes(NONCE);
    const cipher = createCipheriv('aes-256-gcm', shared, nonce);
    const body = [cipher.update(plaintext), cipher.final()];
    return new Uint8Array(Buffer.concat([x25519PublicKey(ephemeral), nonce, ...body, cipher.getAuthTag()]));
  } finally {
    wipe(ephemeral, shared);
  }
}

/** The public key (32 bytes) that belongs to an env_crypt_key. */
export const envPublicKey = (envCryptKey: Uint8Array): Uint8Array => x25519PublicKey(envCryptKey);

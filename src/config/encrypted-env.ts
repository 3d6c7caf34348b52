/**
 * The encrypted environment: what the deployer sends to the app past the host. X25519 with an ephemeral key, the raw
 * shared secret as AES-256-GCM key. Source: dstack formats, encrypted environment.
 *
 * Errors tell three cases apart: encrypted for another key (ENV_DECRYPT_FAILED), content that breaks a rule
 * (ENV_MALFORMED), and keys the app does not allow, which are skipped with a warning. No value is ever in a text.
 */
import { createDecipheriv, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { DstackError } from '../errors.ts';
import { utf8, wipe } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { HOST_SHARED } from './paths.ts';
import { isObject, parseStrictJson } from './strict-json.ts';

const PUBLIC_KEY = 32;
const NONCE = 12;
const TAG = 16;

export const MAX_ENV_ITEMS = 1024;
export const MAX_ENV_KEY = 255;
export const MAX_ENV_VALUE = 131_072;
/** keys and values together */
export const MAX_ENV_TOTAL = 1_048_576;

const malformed = (message: string, field?: string): DstackError =>
  new DstackError('ENV_MALFORMED', message, { path: HOST_SHARED.encryptedEnv, field });

/**
 * Decrypts and checks the environment. Empty if the app has no key for it or the file is empty.
 * @param envCryptKey 32 bytes, or empty
 * @param blob ephemeral public key (32) | nonce (12) | ciphertext | tag (16)
 * @param allowedEnvs names the app accepts; others are skipped
 * @param onSkipped told about each skipped name (default: a warning in the log)
 * @returns sorted by key
 * @throws ENV_DECRYPT_FAILED, ENV_MALFORMED
 */
export async function decryptEnv(
  envCryptKey: Uint8Array,
  blob: Uint8Array,
  allowedEnvs: readonly string[],
  onSkipped: (key: string) => void = warnSkipped,
): Promise<Map<string, string>> {
  if (envCryptKey.length === 0 || blob.length === 0) return new Map();
  const plaintext = decryptEnvBlob(envCryptKey, blob);
  try {
    return readEnv(plaintext, allowedEnvs, onSkipped);
  } finally {
    wipe(plaintext);
  }
}

function warnSkipped(key: string): void {
  ui.warn(`encrypted environment: ${JSON.stringify(key.slice(0, 80))} is not in allowed_envs, skipped`);
}

/** The decrypted bytes. The caller wipes them. @throws ENV_DECRYPT_FAILED, ENV_MALFORMED */
export function decryptEnvBlob(envCryptKey: Uint8Array, blob: Uint8Array): Uint8Array {
  if (envCryptKey.length !== 32) {
    const message = `the environment key has ${envCryptKey.length} bytes instead of 32`;
    throw new DstackError('ENV_DECRYPT_FAILED', message, { field: 'env_crypt_key' });
  }
  if (blob.length < PUBLIC_KEY + NONCE + TAG) {
    throw malformed(`the encrypted environment has only ${blob.length} bytes`);
  }
  const shared = sharedSecret(envCryptKey, blob.subarray(0, PUBLIC_KEY));
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

// RFC 8410: the whole encoding of an X25519 key is this prefix and 32 bytes
const PRIVATE_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex');
const PUBLIC_HEAD = Buffer.from('302a300506032b656e032100', 'hex');

/** RFC 7748, 6.1; the private key is clamped inside the operation only. A point of small order gives zeros: refused. */
function sharedSecret(secret: Uint8Array, ephemeral: Uint8Array): Uint8Array {
  const der = Buffer.concat([PRIVATE_HEAD, secret]);
  let shared: Uint8Array;
  try {
    shared = diffieHellman({
      privateKey: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }),
      publicKey: createPublicKey({ key: Buffer.concat([PUBLIC_HEAD, ephemeral]), format: 'der', type: 'spki' }),
    });
  } catch {
    throw malformed('invalid X25519 shared secret');
  } finally {
    wipe(der);
  }
  if (shared.every((byte) => byte === 0)) throw malformed('invalid X25519 shared secret');
  return shared;
}

function readEnv(
  plaintext: Uint8Array,
  allowedEnvs: readonly string[],
  onSkipped: (key: string) => void,
): Map<string, string> {
  const items = readItems(plaintext);
  const allowed = new Set(allowedEnvs);
  const values = new Map<string, string>();
  let total = 0;
  items.forEach(({ key, value }, i) => {
    if (!allowed.has(key)) {
      onSkipped(key);
      return;
    }
    const [keyLength, valueLength] = [Buffer.byteLength(key), Buffer.byteLength(value)];
    const at = `env[${i}]`;
    if (keyLength > MAX_ENV_KEY) throw malformed(`${at}.key has ${keyLength} bytes, at most ${MAX_ENV_KEY}`, at);
    if (valueLength > MAX_ENV_VALUE) {
      throw malformed(`the value of ${key} has ${valueLength} bytes, at most ${MAX_ENV_VALUE}`, at);
    }
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(key)) {
      throw malformed(`${at}.key ${JSON.stringify(key)} is no name of an environment variable`, at);
    }
    total += keyLength + valueLength;
    if (total > MAX_ENV_TOTAL) throw malformed(`the environment has more than ${MAX_ENV_TOTAL} bytes`, at);
    values.set(key, value); // the last of duplicates wins
  });
  return new Map([...values].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

function readItems(plaintext: Uint8Array): { key: string; value: string }[] {
  let document: unknown;
  try {
    document = parseStrictJson(utf8(plaintext, HOST_SHARED.encryptedEnv));
  } catch {
    throw malformed('the decrypted environment is not JSON'); // no cause: it could quote the text
  }
  const env = isObject(document) && Object.hasOwn(document, 'env') ? document['env'] : undefined;
  if (!Array.isArray(env)) throw malformed('the decrypted environment has no array env', 'env');
  const items = env.map((item: unknown, i) => {
    const field = (name: string): string => {
      const text = isObject(item) && Object.hasOwn(item, name) ? item[name] : undefined;
      if (typeof text !== 'string') throw malformed(`env[${i}].${name} must be a string`, `env[${i}].${name}`);
      return text;
    };
    return { key: field('key'), value: field('value') };
  });
  if (items.length > MAX_ENV_ITEMS) {
    throw malformed(`the environment has ${items.length} variables, at most ${MAX_ENV_ITEMS}`, 'env');
  }
  return items;
}

/**
 * A value as it stands in the environment file. Newline, `"`, `$` and backtick are escaped, a backslash is not; quotes
 * only where something needs them. These are the rules deployed readers rely on, not those of a shell.
 */
export function escapeEnvValue(value: string): string {
  const quoted = /[ \t|&;<>()$`\\"'\n]/.test(value);
  const escaped = value.replace(/["$`]/g, '\\$&').replaceAll('\n', '\\n');
  return quoted ? `"${escaped}"` : escaped;
}

/** The text of .decrypted-env: `KEY=<escaped>` lines in the order of the map (sorted by decryptEnv). */
export function formatEnvFile(env: ReadonlyMap<string, string>): string {
  return [...env].map(([key, value]) => `${key}=${escapeEnvValue(value)}\n`).join('');
}

/** The text of .decrypted-env.json: one compact object. */
export function formatEnvJson(env: ReadonlyMap<string, string>): string {
  // not through an object: `__proto__` is a valid name
  return `{${[...env].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}

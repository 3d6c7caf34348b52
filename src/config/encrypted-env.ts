/**
 * The encrypted environment: what the deployer sends to the app past the host. Source: dstack formats, encrypted
 * environment.
 *
 * Errors tell three cases apart: encrypted for another key (ENV_DECRYPT_FAILED), content that breaks a rule
 * (ENV_MALFORMED), and names the app does not allow (ENV_NOT_ALLOWED): a boot skips these with a warning that carries the
 * code, `env check` refuses them. No value is ever in a text.
 */
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { openEnvBlob } from './env-cipher.ts';
import { readEnvDocument } from './env-document.ts';
import { HOST_SHARED } from './paths.ts';

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
  if (blob.length === 0) return new Map();
  if (envCryptKey.length === 0) {
    ui.warn('there is an encrypted environment, but the key provider gave no key for it: the app starts without it');
    return new Map();
  }
  const plaintext = openEnvBlob(envCryptKey, blob);
  try {
    return readEnvDocument(plaintext, allowedEnvs, onSkipped, warnRepeated);
  } finally {
    wipe(plaintext);
  }
}

function warnSkipped(key: string): void {
  ui.warn(
    `encrypted environment: ${JSON.stringify(key.slice(0, 80))} is not in allowed_envs, skipped [ENV_NOT_ALLOWED]`,
  );
}

function warnRepeated(key: string): void {
  ui.warn(`encrypted environment: ${key} is set more than once, the last value counts`);
}

/** The refusal of a name, for those who must not skip it. */
export function envNotAllowed(key: string): DstackError {
  const shown = JSON.stringify(key.slice(0, 80));
  return new DstackError('ENV_NOT_ALLOWED', `${shown} is not in allowed_envs: a guest skips it`, {
    path: HOST_SHARED.appCompose,
    field: 'allowed_envs',
    value: key,
  });
}

/** The text of .decrypted-env.json: one compact object. */
export function formatEnvJson(env: ReadonlyMap<string, string>): string {
  // not through an object: `__proto__` is a valid name
  return `{${[...env].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',')}}`;
}

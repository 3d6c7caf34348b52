/**
 * Checks the environment of an app before it is deployed: as a guest does, but what a guest would skip or choose from is
 * refused, and so is one that sets nothing.
 */
import { DstackError } from '../errors.ts';
import { readLimited, readSecretFile, wipe } from '../sys/files.ts';
import { readStdin } from '../sys/stdin.ts';
import { parseAppKeys, wipeAppKeys } from './app-keys.ts';
import { envNotAllowed } from './encrypted-env.ts';
import { openEnvBlob } from './env-cipher.ts';
import { envDocumentNames, readEnvDocument } from './env-document.ts';
import { formatEnvDocument, parseEnvText } from './env-text.ts';
import { readAppCompose } from './read-app-compose.ts';

/** What is checked. Without `encrypted`, the plain variables of `env` or stdin. */
export interface EnvSource {
  /** file of plain variables, mode 0600; undefined = stdin */
  readonly env?: string;
  /** app-compose.json whose allowed_envs are the only names accepted */
  readonly appCompose?: string;
  /** an .encrypted-env file, opened with `keys` */
  readonly encrypted?: string;
  /** the .appkeys.json that opens it, mode 0600 */
  readonly keys?: string;
}

/** more than the largest legal environment, escaped as JSON at its worst */
const PLAIN_LIMIT = 8 * 1024 * 1024;
const BLOB_LIMIT = 256 * 1024;
const KEYS_LIMIT = 1024 * 1024;

export interface CheckedEnv {
  readonly variables: Map<string, string>;
  /** the document of the plain variables; the caller wipes it */
  readonly document: Uint8Array;
}

/**
 * Reads plain variables and checks the document made of them.
 * @throws ENV_NOT_ALLOWED, ENV_MALFORMED, FILE_IO, FILE_NOT_PRIVATE and the codes of app-compose.json
 */
export async function checkPlainEnv({ env, appCompose }: EnvSource): Promise<CheckedEnv> {
  const allowed = await allowedEnvs(appCompose);
  const raw = env === undefined ? await readStdin(PLAIN_LIMIT) : await readSecretFile(env, PLAIN_LIMIT);
  try {
    const document = formatEnvDocument(parseEnvText(raw, env ?? 'stdin'));
    return { document, variables: checkDocument(document, allowed) };
  } finally {
    wipe(raw);
  }
}

/**
 * Opens an encrypted environment with the keys of its app and checks it.
 * @returns the variables and the size of the encrypted file in bytes
 * @throws INPUT_INVALID without keys, ENV_DECRYPT_FAILED for those of another app, else as `checkPlainEnv`
 */
export async function checkEncryptedEnv(
  encrypted: string,
  { appCompose, keys: keyFile }: EnvSource,
): Promise<{ readonly variables: Map<string, string>; readonly bytes: number }> {
  const allowed = await allowedEnvs(appCompose);
  if (keyFile === undefined) {
    throw new DstackError('INPUT_INVALID', '--encrypted needs --keys: only the app itself can open its environment', {
      field: '--keys',
    });
  }
  const keys = parseAppKeys(await readSecretFile(keyFile, KEYS_LIMIT), keyFile);
  try {
    const blob = await readLimited(encrypted, BLOB_LIMIT);
    const document = openEnvBlob(keys.envCryptKey, blob);
    try {
      return { variables: checkDocument(document, allowed), bytes: blob.length };
    } finally {
      wipe(document);
    }
  } finally {
    wipeAppKeys(keys);
  }
}

async function allowedEnvs(appCompose: string | undefined): Promise<readonly string[] | undefined> {
  return appCompose === undefined ? undefined : (await readAppCompose(appCompose)).allowedEnvs;
}

function checkDocument(document: Uint8Array, allowed: readonly string[] | undefined): Map<string, string> {
  const variables = readEnvDocument(
    document,
    allowed ?? envDocumentNames(document),
    (key) => {
      throw envNotAllowed(key);
    },
    (key) => {
      throw new DstackError('ENV_MALFORMED', `${key} is set more than once`, { field: 'env', value: key });
    },
  );
  if (variables.size === 0)
    throw new DstackError('ENV_MALFORMED', 'the environment sets no variable', { field: 'env' });
  return variables;
}

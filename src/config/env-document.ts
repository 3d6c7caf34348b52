/**
 * What is inside the encrypted environment: `{"env":[{"key","value"}, ...]}` and its limits. Source: dstack formats,
 * encrypted environment.
 */
import { DstackError } from '../errors.ts';
import { utf8 } from '../sys/files.ts';
import { HOST_SHARED } from './paths.ts';
import { isObject, parseStrictJson } from './strict-json.ts';

export const MAX_ENV_ITEMS = 1024;
export const MAX_ENV_KEY = 255;
export const MAX_ENV_VALUE = 131_072;
/** keys and values together */
export const MAX_ENV_TOTAL = 1_048_576;

const malformed = (message: string, field?: string): DstackError =>
  new DstackError('ENV_MALFORMED', message, { path: HOST_SHARED.encryptedEnv, field });

/**
 * The variables of a decrypted (or still plain) environment document, judged in the order the deployed guests judge.
 * @param onSkipped told about each name the app does not allow; it may throw to refuse instead of skipping
 * @param onRepeated told about each further variable of the same name, which wins; it may throw to refuse
 * @returns sorted by key
 * @throws ENV_MALFORMED naming the item, never a value
 */
export function readEnvDocument(
  plaintext: Uint8Array,
  allowedEnvs: readonly string[],
  onSkipped: (key: string) => void,
  onRepeated: (key: string) => void,
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
    if (keyLength > MAX_ENV_KEY)
      throw malformed(`${at}.key has ${keyLength} bytes, at most ${MAX_ENV_KEY}`, `${at}.key`);
    if (valueLength > MAX_ENV_VALUE) {
      throw malformed(`the value of ${key} has ${valueLength} bytes, at most ${MAX_ENV_VALUE}`, `${at}.value`);
    }
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(key)) {
      throw malformed(`${at}.key ${JSON.stringify(key)} is not a name of an environment variable`, `${at}.key`);
    }
    // no environment can hold it, and a shell that drops it would join what stands around it
    if (value.includes('\0')) throw malformed(`the value of ${key} has a NUL character`, `${at}.value`);
    total += keyLength + valueLength;
    if (total > MAX_ENV_TOTAL) throw malformed(`the environment has more than ${MAX_ENV_TOTAL} bytes`, at);
    if (values.has(key)) onRepeated(key);
    values.set(key, value);
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
  if (!Array.isArray(env)) throw malformed('the array env is missing in the decrypted environment', 'env');
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

/** All names of a document, for a judgement without a list of allowed ones. @throws ENV_MALFORMED */
export const envDocumentNames = (plaintext: Uint8Array): string[] => readItems(plaintext).map(({ key }) => key);

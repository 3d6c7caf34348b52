/** Environment variables as a deployer writes them: `KEY=value` lines, or the JSON document that travels encrypted. */
import { DstackError } from '../errors.ts';
import { utf8 } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { isObject, parseStrictJson } from './strict-json.ts';

export interface EnvVariable {
  readonly key: string;
  readonly value: string;
}

/**
 * Reads either form; JSON is recognised by its first character. Lines: blank ones and those that start with `#` are
 * skipped, the value is everything behind the first `=`, unchanged: no quotes, no escapes (as docker's --env-file).
 * @throws ENV_MALFORMED naming the line, never its text
 */
export function parseEnvText(raw: Uint8Array, name: string): EnvVariable[] {
  const text = utf8(raw, name);
  if (text.trimStart().startsWith('{')) return parseEnvJson(text, name);
  return text.split('\n').flatMap((line, i) => {
    const bare = line.replace(/\r$/, '');
    if (bare.trim() === '' || bare.trimStart().startsWith('#')) return [];
    const at = bare.indexOf('=');
    if (at <= 0) {
      throw new DstackError('ENV_MALFORMED', `line ${i + 1} is not KEY=value`, { path: name, field: `line ${i + 1}` });
    }
    const value = bare.slice(at + 1);
    if (/^(["']).*\1$/.test(value)) ui.warn(`${name}: line ${i + 1}: the quotes become part of the value`);
    return [{ key: bare.slice(0, at), value }];
  });
}

function parseEnvJson(text: string, name: string): EnvVariable[] {
  let document: unknown;
  try {
    document = parseStrictJson(text);
  } catch {
    throw new DstackError('ENV_MALFORMED', 'the environment is not JSON', { path: name }); // no cause: it could quote
  }
  const env = isObject(document) && Object.hasOwn(document, 'env') ? document['env'] : undefined;
  if (!Array.isArray(env))
    throw new DstackError('ENV_MALFORMED', 'the array env is missing', { path: name, field: 'env' });
  return env.map((item: unknown, i) => {
    const { key, value } = isObject(item) ? item : {};
    if (typeof key !== 'string' || typeof value !== 'string') {
      const message = `env[${i}] must have the texts key and value`;
      throw new DstackError('ENV_MALFORMED', message, { path: name, field: `env[${i}]` });
    }
    return { key, value };
  });
}

/** The document that is encrypted. */
export const formatEnvDocument = (variables: readonly EnvVariable[]): Uint8Array =>
  new TextEncoder().encode(JSON.stringify({ env: variables.map(({ key, value }) => ({ key, value })) }));

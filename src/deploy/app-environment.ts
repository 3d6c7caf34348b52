/** The variables an app starts with: what was decrypted for it and allowed by it, and PCCS_URL. Nothing of ours. */
import { DstackError } from '../errors.ts';
import { ifExists, readLimited, utf8 } from '../sys/files.ts';
import type { Environment } from './scripts.ts';

const LIMIT = 8 * 1024 * 1024;
const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/**
 * Reads .decrypted-env.json and keeps exactly the allowed names. The process environment is not used: what runs the
 * binary must not be able to add variables to the app.
 * @param allowed `allowed_envs` of app-compose.json
 * @throws ENV_MALFORMED
 */
export async function readAppEnvironment(path: string, allowed: readonly string[]): Promise<Environment> {
  const bytes = await ifExists(() => readLimited(path, LIMIT));
  const out = new Map<string, string>();
  if (bytes === undefined) return out;
  let value: unknown;
  try {
    value = JSON.parse(utf8(bytes, path));
  } catch {
    throw new DstackError('ENV_MALFORMED', `file ${path} is not valid JSON`, { path });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new DstackError('ENV_MALFORMED', `file ${path} must hold a JSON object`, { path });
  for (const [key, text] of Object.entries(value)) {
    if (!allowed.includes(key)) continue;
    if (!NAME.test(key) || typeof text !== 'string' || text.includes('\0'))
      throw new DstackError('ENV_MALFORMED', `variable ${key} is not usable`, { path, field: key });
    out.set(key, text);
  }
  return out;
}

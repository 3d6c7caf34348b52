/**
 * The text of .decrypted-env, which systemd (EnvironmentFile), `docker compose` (env_file) and shells (`.`) read, each by
 * rules of its own. Whoever knows the app's public key can encrypt an environment, the host included, so a value must not
 * become code or another variable in any of the three. Source: dstack formats, encrypted environment.
 */

/** what makes the deployed writers put a value into quotes */
const NEEDS_QUOTES = /[ \t|&;<>()$`\\"'\n]/;
/** a carriage return ends a line for systemd, and a shell takes a tilde here for a home folder */
const MISREAD_BARE = /\r|^~|:~/;
/**
 * A backslash in front of a character that quotes give a meaning to. The deployed writers leave it alone, so that it
 * swallows the backslash they add: `\$(id)` becomes `"\\$(id)"`, in which a shell runs id.
 */
const BACKSLASH_IN_THE_WAY = /\\(?:["$`\\\n]|$)/;

/**
 * A value as it stands in the file, on one line. The bytes are those of the deployed writers (`"`, `$` and backtick escaped,
 * newline as `\n`, quotes where something needs them) unless a reader would take them for something else: then it stands in
 * quotes, with its backslashes escaped too.
 */
export function escapeEnvValue(value: string): string {
  const quoted = NEEDS_QUOTES.test(value) || MISREAD_BARE.test(value);
  const safe = BACKSLASH_IN_THE_WAY.test(value) ? value.replaceAll('\\', '\\\\') : value;
  const escaped = safe.replace(/["$`]/g, '\\$&').replaceAll('\n', '\\n');
  return quoted ? `"${escaped}"` : escaped;
}

/** The text of .decrypted-env: `KEY=<escaped>` lines in the order of the map (sorted by decryptEnv). */
export function formatEnvFile(env: ReadonlyMap<string, string>): string {
  return [...env].map(([key, value]) => `${key}=${escapeEnvValue(value)}\n`).join('');
}

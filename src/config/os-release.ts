/** os-release(5): where the version of the OS comes from that `requirements.os_version` is compared with. */

/** Places in order of preference. */
export const OS_RELEASE_PATHS = ['/etc/os-release', '/usr/lib/os-release'] as const;

/**
 * The value of one key, or undefined. Lines are trimmed, blank and `#` lines skipped; in double quotes a backslash
 * escapes the next character, single quotes are literal. The first occurrence counts.
 */
export function osReleaseValue(text: string, key: string): string | undefined {
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const at = line.indexOf('=');
    if (at >= 0 && line.slice(0, at) === key) return unquote(line.slice(at + 1));
  }
  return undefined;
}

function unquote(value: string): string {
  const quote = value[0];
  if (value.length < 2 || value.at(-1) !== quote) return value;
  const inner = value.slice(1, -1);
  if (quote === "'") return inner;
  return quote === '"' ? inner.replace(/\\([\s\S])/g, '$1') : value;
}

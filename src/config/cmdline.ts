/** The kernel command line: `key` and `key=value` words. Which occurrence of a key wins depends on the parameter. */

export interface Cmdline {
  /** Value of the first occurrence; empty for a word without `=`; undefined when absent. */
  first(key: string): string | undefined;
  /** Value of the last occurrence. */
  last(key: string): string | undefined;
  /** Whether the key occurs, with or without a value. */
  has(key: string): boolean;
}

/** Parses the text of /proc/cmdline: words at white space, double quotes protect it and are removed (as the kernel does). */
export function parseCmdline(text: string): Cmdline {
  const values = new Map<string, string[]>();
  for (const word of text.match(/(?:"[^"]*"?|[^\s"])+/g) ?? []) {
    const bare = word.replaceAll('"', '');
    const at = bare.indexOf('=');
    const key = at < 0 ? bare : bare.slice(0, at);
    const list = values.get(key) ?? [];
    values.set(key, list);
    list.push(at < 0 ? '' : bare.slice(at + 1));
  }
  return {
    first: (key) => values.get(key)?.[0],
    last: (key) => values.get(key)?.at(-1),
    has: (key) => values.has(key),
  };
}

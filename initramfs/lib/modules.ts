/** Choosing kernel modules: names and patterns to files, together with everything they depend on. */

/** `modules.dep` as a map from file to the files it needs, loaded last to first. */
export function parseModulesDep(text: string): Map<string, string[]> {
  const deps = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0)
      deps.set(
        line.slice(0, colon),
        line
          .slice(colon + 1)
          .split(' ')
          .filter(Boolean),
      );
  }
  return deps;
}

/** The kernel takes `-` and `_` in module names for the same letter; file names use either. */
export function moduleName(path: string): string {
  return path
    .slice(path.lastIndexOf('/') + 1)
    .replace(/\.ko(\.\w+)?$/, '')
    .replaceAll('-', '_');
}

function matcher(pattern: string): RegExp {
  const escaped = pattern
    .replaceAll('-', '_')
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*');
  return new RegExp(`^${escaped}$`);
}

/**
 * The files of the wanted modules in an order in which they can be loaded one by one. A name that is built into the
 * kernel needs no file; one that is unknown is an error, since a typo would otherwise show only in a broken boot.
 */
export function moduleClosure(wanted: readonly string[], deps: Map<string, string[]>, builtin: string): string[] {
  const inKernel = new Set(builtin.split('\n').filter(Boolean).map(moduleName));
  const byName = new Map([...deps.keys()].map((path) => [moduleName(path), path]));
  const names = [...byName.keys()].sort();
  const chosen = new Set<string>();
  const add = (path: string): void => {
    if (chosen.has(path)) return;
    const needs = deps.get(path);
    if (!needs) throw new Error(`modules.dep names ${path} but does not list it`);
    for (const need of [...needs].reverse()) add(need);
    chosen.add(path);
  };
  for (const pattern of wanted) {
    const match = matcher(pattern);
    const found = names.filter((name) => match.test(name));
    if (found.length === 0 && ![...inKernel].some((name) => match.test(name))) {
      throw new Error(`the kernel has no module '${pattern}'\n  hint: see initramfs/modules/*.list`);
    }
    for (const name of found) add(byName.get(name) as string);
  }
  return [...chosen];
}

/** Which packages of others are in a bundle, and the notices that their licences ask for. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** What the bundler says about its result, as far as it is read here. */
interface Metafile {
  readonly outputs: Readonly<Record<string, { readonly inputs: Readonly<Record<string, { bytesInOutput: number }>> }>>;
}

/** The folders of the packages of which something is left in the bundle, from the root of the project, sorted. */
export function bundledPackages(metafile: Metafile | undefined): string[] {
  const packages = new Set<string>();
  for (const { inputs } of Object.values(metafile?.outputs ?? {})) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
      if (bytesInOutput > 0 && folder !== undefined) packages.add(folder.replace(/^(\.\.\/)+/, ''));
    }
  }
  return [...packages].toSorted();
}

/**
 * The licences of bundled packages, in full where they bring their text.
 * @param what is made of them, the first word of the text
 * @param packages folders from the root of the project
 */
export function notices(what: string, packages: readonly string[]): string {
  const parts = packages.toSorted().map((folder) => {
    const manifest = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));
    const { name, version, license } = manifest as Record<string, string>;
    const file = readdirSync(join(ROOT, folder)).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file === undefined ? `License: ${license}\n` : readFileSync(join(ROOT, folder, file), 'utf8');
    return `${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
  const rule = `\n${'-'.repeat(72)}\n\n`;
  return [`${what} contains code of the packages below.\n`, ...parts].join(rule);
}

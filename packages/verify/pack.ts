/** The archive of the library that `npm publish` and `npm install FILE` take. */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildVerifyLibrary } from './build.ts';

/**
 * Builds the library and packs it. The archive depends on the sources only: npm gives every file the same date.
 * @param out an existing folder
 * @returns the name of the archive in it
 */
export function packVerifyLibrary(out: string): string {
  const folder = join(out, `.dstack-verify-${process.pid}`);
  try {
    const { dir } = buildVerifyLibrary(folder);
    const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', resolve(out)];
    const printed = execFileSync('npm', args, { cwd: dir, encoding: 'utf8' });
    return printed.trim().split('\n').at(-1) ?? '';
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

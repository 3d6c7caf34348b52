/** What a binary says about the source it was made from. */
import { readFileSync } from 'node:fs';
import { $ } from 'zx';

/** Of package.json. */
export const packageVersion = (): string =>
  (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version;

/** `git:<20 hex digits>[-modified]`, or `unknown` outside a checkout. Only what goes into the binary counts as modified. */
export async function revision(): Promise<string> {
  const quiet = $({ nothrow: true, quiet: true });
  const head = await quiet`git rev-parse --short=20 HEAD`;
  if (head.exitCode !== 0) return 'unknown';
  const changed =
    await quiet`git status --porcelain -- bin src simulator package.json package-lock.json scripts/build.ts`;
  return `git:${head.stdout.trim()}${changed.stdout.trim() === '' ? '' : '-modified'}`;
}

/** The constants of src/version.ts as arguments of Bun. */
export const versionDefines = (version: string, rev: string): string[] => [
  ...['--define', `DSTACK_VERSION=${JSON.stringify(version)}`],
  ...['--define', `DSTACK_REVISION=${JSON.stringify(rev)}`],
];

/**
 * `npm run dist`: packs dist/dstack-util-VERSION.tar.gz and dist/dstack-util_VERSION_amd64.deb for people who build
 * images: binary, units, manual pages, completions, documentation, bill of materials; and dist/dstack-verify-VERSION.tgz, the
 * library. One commit, one set of bytes.
 * `-- --sign KEYFILE` signs both with minisign.
 */
import { readFileSync, statSync } from 'node:fs';
import { $ } from 'zx';
import { packVerifyLibrary } from '../packages/verify/pack.ts';
import { packRelease } from '../packaging/release.ts';
import type { Lock } from '../packaging/sbom.ts';
import { checkSigning } from '../packaging/sign.ts';
import { npmScript, runScript } from './lib/script.ts';
import { MIB, needSpace } from './lib/space.ts';

$.verbose = false;

/** Binary, tree, both forms of the archive, the tree again and the package. */
const ALL_OF_IT = 750 * MIB;

async function dist({ sign }: { sign?: string }): Promise<void> {
  const started = performance.now();
  if (sign !== undefined) checkSigning(sign);
  needSpace('dist', ALL_OF_IT, 'the binary, the archive and the package');
  await $({ stdio: ['ignore', 'inherit', 'inherit'] })`${process.execPath} scripts/build.ts util`;
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const printed = (await $`dist/dstack-util --version`).stdout.trim();
  const revision = /\((git:[^)]+|unknown)\)/.exec(printed)?.[1];
  if (!printed.startsWith(`v${version} `) || revision === undefined)
    throw new Error(`dist/dstack-util says "${printed}"`);

  // the time of the commit, so that the results depend on nothing else; outside a checkout the start of the epoch
  const head = await $({ nothrow: true })`git log -1 --format=%ct`;
  const epoch = Number(process.env['SOURCE_DATE_EPOCH'] ?? (head.exitCode === 0 ? head.stdout.trim() : '0'));
  // a changed page changes the archive and not the revision that the binary names
  const modified = head.exitCode === 0 && (await $`git status --porcelain`).stdout.trim() !== '';
  if (modified) console.error('this tree has changes that are not committed: the archive is marked as modified');

  const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
  const binary = 'dist/dstack-util';
  const packed = await packRelease({ binary, out: 'dist', version, revision, modified, epoch, lock, keyFile: sign });
  for (const file of packed)
    console.error(`packed dist/${file} ${(statSync(`dist/${file}`).size / 1e6).toFixed(1)} MB`);
  console.error(`packed dist/${packVerifyLibrary('dist')}`);
  if (packed.length === 1) console.error('no Debian package: dpkg-deb is not installed here');
  console.error(`${((performance.now() - started) / 1000).toFixed(1)} s`);
}

await runScript(
  npmScript('dist', 'pack the archive and the Debian package for people who build images')
    .option('--sign <keyfile>', 'sign both with this secret key of minisign, which asks for its password')
    .action(dist),
);

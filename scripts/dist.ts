/**
 * `npm run dist`: packs dist/dstack-util-VERSION.tar.gz for people who build images: binary, units, preset, manual
 * pages, completions, documentation, checksums, bill of materials and an installer. One commit, one archive.
 */
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { $ } from 'zx';
import { type Lock, sbom } from '../packaging/sbom.ts';
import { makeTree } from '../packaging/tree.ts';
import { npmScript, runScript } from './lib/script.ts';
import { MIB, needSpace } from './lib/space.ts';

$.verbose = false;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Binary, tree and both forms of the archive. */
const ALL_OF_IT = 450 * MIB;

async function dist(): Promise<void> {
  const started = performance.now();
  needSpace('dist', ALL_OF_IT, 'the binary and the archive');
  await $({ stdio: ['ignore', 'inherit', 'inherit'] })`${process.execPath} scripts/build.ts util`;
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  const printed = (await $`dist/dstack-util --version`).stdout.trim();
  const revision = /\((git:[^)]+|unknown)\)/.exec(printed)?.[1];
  if (!printed.startsWith(`v${version} `) || revision === undefined)
    throw new Error(`dist/dstack-util says "${printed}"`);

  // the time of the commit, so that the archive depends on nothing else; outside a checkout the start of the epoch
  const head = await $({ nothrow: true })`git log -1 --format=%ct`;
  const epoch = Number(process.env['SOURCE_DATE_EPOCH'] ?? (head.exitCode === 0 ? head.stdout.trim() : '0'));
  const created = `${new Date(epoch * 1000).toISOString().slice(0, 19)}Z`;

  // a changed page changes the archive and not the revision that the binary names
  const modified = head.exitCode === 0 && (await $`git status --porcelain`).stdout.trim() !== '';
  const label = modified ? `${version}-modified` : version;
  if (modified) console.error('this tree has changes that are not committed: the archive is marked as modified');

  const name = `dstack-util-${label}`;
  const temp = `dist/.dist-${process.pid}`;
  rmSync(temp, { recursive: true, force: true });
  const top = join(temp, name);
  mkdirSync(top, { recursive: true });
  try {
    await makeTree({ root: join(top, 'tree'), binary: 'dist/dstack-util', version, date: created.slice(0, 10) });
    const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
    const binarySha256 = sha256(readFileSync('dist/dstack-util'));
    const bill = sbom({ lock, version, revision, created, binarySha256 });
    writeFileSync(join(top, 'tree/usr/share/doc/dstack-util/sbom.spdx.json'), bill);
    writeFileSync(join(top, 'VERSION'), `${label}\n`);
    copyFileSync('packaging/install.sh', join(top, 'install.sh'));
    const files = readdirSync(top, { recursive: true, encoding: 'utf8' })
      .filter((path) => lstatSync(join(top, path)).isFile())
      .toSorted();
    writeFileSync(
      join(top, 'SHA256SUMS'),
      files.map((path) => `${sha256(readFileSync(join(top, path)))}  ${path}\n`).join(''),
    );
    await $`chmod -R u=rwX,go=rX ${top}`;
    await $`tar --create --sort=name --format=gnu --mtime=@${epoch} --owner=0 --group=0 --numeric-owner \
      --directory=${temp} --file=${temp}/${name}.tar ${name}`;
    const packed = gzipSync(readFileSync(`${temp}/${name}.tar`), { level: 6 });
    writeFileSync(`${temp}/${name}.tar.gz`, packed);
    writeFileSync(`dist/${name}.tar.gz.sha256`, `${sha256(packed)}  ${name}.tar.gz\n`);
    renameSync(`${temp}/${name}.tar.gz`, `dist/${name}.tar.gz`);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.error(
      `packed dist/${name}.tar.gz ${(packed.length / 1e6).toFixed(1)} MB, ${files.length + 1} files, ${seconds} s`,
    );
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
}

await runScript(npmScript('dist', 'pack dist/dstack-util-VERSION.tar.gz for people who build images').action(dist));

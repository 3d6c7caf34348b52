/** What `npm run dist` leaves in dist: the archive, the Debian package of the same tree, their checksums and signatures. */
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
import { buildVerifyPage } from '../packages/verify-page/build.ts';
import { type DebVersion, hasDpkgDeb, makeDeb } from './deb.ts';
import { type Lock, sbom } from './sbom.ts';
import { sign } from './sign.ts';
import { makeTree } from './tree.ts';

export interface ReleaseInput {
  readonly binary: string;
  /** folder of the results */
  readonly out: string;
  readonly version: string;
  /** of the source, as the binary names it */
  readonly revision: string;
  /** the tree has changes that are not committed: every name and version says so */
  readonly modified: boolean;
  /** Unix seconds of the commit: the only time in the results */
  readonly epoch: number;
  readonly lock: Lock;
  /** secret key of minisign; nothing is signed without one */
  readonly keyFile?: string | undefined;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/**
 * Packs, signs, and only then puts everything in place, so that no archive is left beside the signature of another.
 * @returns names of the archive and the package (missing without dpkg-deb) in `out`
 */
export async function packRelease(input: ReleaseInput): Promise<string[]> {
  const label = input.modified ? `${input.version}-modified` : input.version;
  const name = `dstack-util-${label}`;
  const temp = join(input.out, `.dist-${process.pid}`);
  rmSync(temp, { recursive: true, force: true });
  const top = join(temp, name);
  mkdirSync(top, { recursive: true });
  try {
    const created = `${new Date(input.epoch * 1000).toISOString().slice(0, 19)}Z`;
    await makeTree({
      root: join(top, 'tree'),
      binary: input.binary,
      version: input.version,
      date: created.slice(0, 10),
    });
    const bill = sbom({ ...input, created, binarySha256: sha256(readFileSync(input.binary)) });
    writeFileSync(join(top, 'tree/usr/share/doc/dstack-util/sbom.spdx.json'), bill);
    writeFileSync(join(top, 'VERSION'), `${label}\n`);
    copyFileSync('packaging/install.sh', join(top, 'install.sh'));
    // for those who rely on a guest, so outside the tree that goes into one
    writeFileSync(join(top, 'verify.html'), (await buildVerifyPage(`v${label} (${input.revision})`)).html);
    writeFileSync(join(top, 'SHA256SUMS'), checksums(top));
    await $`chmod -R u=rwX,go=rX ${top}`;

    const packed = [await packTar(temp, name, input.epoch)];
    if (hasDpkgDeb()) {
      const version: DebVersion = { upstream: input.version, modified: input.modified };
      packed.push(await makeDeb({ tree: join(top, 'tree'), temp, version, epoch: input.epoch, lock: input.lock }));
    }
    for (const file of packed)
      writeFileSync(join(temp, `${file}.sha256`), `${sha256(readFileSync(join(temp, file)))}  ${file}\n`);
    const suffixes = ['.sha256', ''];
    if (input.keyFile !== undefined) {
      const files = packed.map((file) => join(temp, file));
      sign(files, input.keyFile, `dstack-util ${label} ${input.revision}`);
      suffixes.push('.minisig');
    }
    for (const file of packed) {
      // before the file: a signature of an earlier one would only look like damage
      rmSync(join(input.out, `${file}.minisig`), { force: true });
      for (const suffix of suffixes) renameSync(join(temp, `${file}${suffix}`), join(input.out, `${file}${suffix}`));
    }
    return packed;
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
}

/** The list that the installer checks: every file below `top`. */
function checksums(top: string): string {
  const files = readdirSync(top, { recursive: true, encoding: 'utf8' }).filter((path) =>
    lstatSync(join(top, path)).isFile(),
  );
  return files
    .toSorted()
    .map((path) => `${sha256(readFileSync(join(top, path)))}  ${path}\n`)
    .join('');
}

async function packTar(temp: string, name: string, epoch: number): Promise<string> {
  await $`tar --create --sort=name --format=gnu --mtime=@${epoch} --owner=0 --group=0 --numeric-owner \
    --directory=${temp} --file=${temp}/${name}.tar ${name}`;
  writeFileSync(`${temp}/${name}.tar.gz`, gzipSync(readFileSync(`${temp}/${name}.tar`), { level: 6 }));
  rmSync(`${temp}/${name}.tar`);
  return `${name}.tar.gz`;
}

/**
 * The firmware that a TDX host measures and starts: OVMF as Debian builds it, from the suite of the image. Of the builds in
 * that package it is the one without Secure Boot and with measurements (docs/image-builders.md says what that means).
 */
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type PackageRecord, packageRecords } from './bill.ts';
import { cached, keyOf, prune, removeTree } from './cache.ts';
import { readList } from './lists.ts';
import { findMirror, hostAptOptions, suite } from './mirror.ts';
import { bootstrap } from './mmdebstrap.ts';
import type { Say } from './progress.ts';
import { runInTools } from './tools.ts';

const PACKAGE = 'ovmf';
/** Variables and code in one file, as `-bios` takes it: the configuration volume is measured, too. */
const FILE = 'usr/share/ovmf/OVMF.fd';

export interface Firmware extends PackageRecord {
  /** the file on this host */
  readonly file: string;
  readonly package: string;
}

/** Unpacks the firmware unless that was done before. `again` names a second build for comparison. */
export async function ensureFirmware(
  options: { mirror?: string | undefined; say?: Say; again?: string } = {},
): Promise<Firmware> {
  const packages = await readList('packages/firmware.list');
  const key = keyOf('firmware 1', suite, packages, FILE) + (options.again ?? '');
  const dir = await cached('firmware', key, async (temp) => {
    const tree = join(temp, 'tree');
    // unpacking leaves no list of what is installed: apt is asked for the version that it has just taken
    const version = `APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-cache policy ${PACKAGE} | sed -n "s/^ *Candidate: /${PACKAGE}\\t/p" >"$1/version"`;
    await bootstrap({
      target: tree,
      variant: 'extract',
      packages,
      mirror: await findMirror(options.mirror),
      aptOptions: await hostAptOptions(),
      customize: [version],
      runner: runInTools,
      ...(options.say ? { say: options.say } : {}),
    });
    await copyFile(join(tree, FILE), join(temp, 'ovmf.fd'));
    await copyFile(join(tree, 'version'), join(temp, 'packages.txt'));
    await removeTree(tree);
  });
  await prune('firmware', 4);
  const records = await packageRecords(await readFile(join(dir, 'packages.txt'), 'utf8'));
  const record = records[PACKAGE];
  if (record === undefined) throw new Error(`apt names no version of ${PACKAGE}\n  hint: remove .cache/firmware`);
  return { file: join(dir, 'ovmf.fd'), package: PACKAGE, ...record };
}

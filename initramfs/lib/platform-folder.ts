/**
 * An image in the form in which the platform's VMM starts it and its KMS downloads it: `metadata.json`, the checksum file
 * whose hash is the identity, and one archive named by that hash. File names are those of `PARTS`.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import {
  CHECKSUM_FILE,
  checkImageFolder,
  checkPlatformFirmware,
  DIGEST_FILE,
  documentOfImage,
  formatChecksumFile,
  MEASUREMENT_FILE,
  METADATA_FILE,
  readImageFolder,
  writeMeasurementDocument,
} from '../../src/os-image/os-image.ts';
import { hashFile } from './cache.ts';
import { sourceDateEpoch } from './mmdebstrap.ts';
import { runInTools } from './tools.ts';

/** Names of the parts that a machine starts from. The VMM takes a root only by the suffix `.verity`. */
export const PARTS = {
  firmware: 'ovmf.fd',
  kernel: 'bzImage',
  initrd: 'initrd',
  root: 'rootfs.verity',
} as const;

/** The files that make up the identity of an image, in the order of its checksum file. */
const IDENTITY = [PARTS.firmware, PARTS.kernel, PARTS.initrd, METADATA_FILE, MEASUREMENT_FILE].sort();

/**
 * The release of the platform whose guest this image can stand in for: its VMM refuses images below 0.5.0 and has rules for
 * single versions. The version of this project says nothing to it.
 */
const PLATFORM_VERSION = '0.6.0';

/** Order of the firmware's measurements, as the platform calls it: edk2 before edk2-stable202505. */
const OVMF_VARIANT = 'pre202505';

const HASH_WORD = 'dstack.rootfs_hash=';

export interface ImageFacts {
  readonly cmdline: string;
  readonly rootHash: string;
  readonly isDev: boolean;
}

/**
 * `metadata.json`. The root hash must stand on the command line exactly once and as it is: the platform believes the first
 * such word, the initramfs the last one.
 */
export function metadataText({ cmdline, rootHash, isDev }: ImageFacts): string {
  const words = cmdline.split(/\s+/).filter((word) => word.startsWith(HASH_WORD));
  if (words.length !== 1) throw new Error(`the command line has ${HASH_WORD} ${words.length} times, not once`);
  if (!/^[0-9a-f]{64}$/.test(rootHash) || words[0] !== `${HASH_WORD}${rootHash}`)
    throw new Error(`the command line has ${words[0]}, the root is ${rootHash}`);
  const metadata = {
    bios: PARTS.firmware,
    kernel: PARTS.kernel,
    initrd: PARTS.initrd,
    rootfs: PARTS.root,
    cmdline,
    rootfs_hash: rootHash,
    version: PLATFORM_VERSION,
    shared_ro: true, // the guest never writes to the share
    is_dev: isDev,
    ovmf_variant: OVMF_VARIANT,
  };
  return `${JSON.stringify(metadata, null, 2)}\n`;
}

/**
 * Writes the measurement document, the checksum file over it and the files of `IDENTITY`, and `digest.txt`; returns the
 * identity in hex. The root is not in the checksum file: the command line has its hash, and whoever checks an image need
 * not have its largest file.
 */
export async function writeIdentity(dir: string): Promise<string> {
  const { parts } = await readImageFolder(dir);
  checkPlatformFirmware(parts.firmware);
  await writeFile(join(dir, MEASUREMENT_FILE), writeMeasurementDocument(documentOfImage(parts)));
  const digests = IDENTITY.map(async (name) => [name, fromHex(await hashFile(join(dir, name)))] as const);
  const checksums = formatChecksumFile(new Map(await Promise.all(digests)));
  await writeFile(join(dir, CHECKSUM_FILE), checksums);
  // read as a verifier reads it: an image that nobody could prove is not built
  const hash = toHex(await checkImageFolder(await readImageFolder(dir)));
  await writeFile(join(dir, DIGEST_FILE), `${hash}\n`);
  return hash;
}

/** Packs what a KMS downloads as `HASH.tar.gz`: flat, without the root, the same bytes for the same files. */
export async function packArchive(dir: string, hash: string): Promise<void> {
  const tar = [
    `tar --create --format=ustar --sort=name --mtime=@${sourceDateEpoch} --mode=0644`,
    '--owner=0 --group=0 --numeric-owner --file=archive.tar',
    ...[...IDENTITY, CHECKSUM_FILE, DIGEST_FILE],
  ].join(' ');
  const script = [tar, `gzip --no-name -6 <archive.tar >${hash}.tar.gz`, 'rm archive.tar'].join('\n');
  await runInTools(['sh', '-ec', script], { cwd: dir });
}

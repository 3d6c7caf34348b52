/** The host share of a VM: the documents a VMM hands to its guest, as a folder and as a small labelled disk. */
import { createHash } from 'node:crypto';
import { copyFile, mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { BoundMeasurement } from '../../src/config/vm-config.ts';
import { runInTools } from '../lib/tools.ts';
import { HOST_API_URL } from './qemu.ts';

/** The guest finds its share by this file system label. */
export const SHARE_LABEL = 'DSTACKSHR';

/** Content of one file of the share; a symbolic link is something a guest must refuse to follow. */
export type ShareFile = string | Uint8Array | { readonly linkTo: string };

/** File names of the share and their contents; `undefined` leaves a file out. */
export type ShareFiles = Readonly<Record<string, ShareFile | undefined>>;

export interface VmFacts {
  /** SHA-256 of the image's checksum file, hex */
  readonly osImageHash: string;
  readonly imageName: string;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly shareMode: 'disk' | '9p';
  /** measurement document and checksum file of the image */
  readonly measurement?: BoundMeasurement;
}

/** Memory for which a measurement document alone tells the kernel's digest (src/os-image). */
const isLiteMemory = (bytes: number): boolean => bytes === 0x8000_0000 || bytes >= 0xb000_0000;

/** `vm_config`, by which the VMM tells verifiers how it has built the VM. */
export function vmConfig(facts: VmFacts): string {
  const { measurement } = facts;
  const memory = facts.memoryMiB * 1024 * 1024;
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
  return JSON.stringify({
    spec_version: 1,
    os_image_hash: facts.osImageHash,
    cpu_count: facts.cpus,
    memory_size: memory,
    image: facts.imageName,
    host_share_mode: facts.shareMode,
    ...(measurement === undefined
      ? {}
      : {
          ovmf_variant: 'pre202505',
          // the ACPI tables of a simulated machine cannot be made again, so only this variant can be verified
          ...(isLiteMemory(memory) ? { tdx_attestation_variant: 'lite' } : {}),
          tdx_measurement: {
            checksum_file: base64(measurement.checksumFile),
            measurement: base64(measurement.measurement),
          },
        }),
  });
}

/** `.sys-config.json` as the VMM writes it for a VM without KMS and gateway. `changes` replaces or adds fields. */
export function sysConfig(facts: VmFacts, changes: Record<string, unknown> = {}): string {
  const document = {
    kms_urls: [],
    gateway_urls: [],
    host_api_url: HOST_API_URL,
    vm_config: vmConfig(facts),
    ...changes,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Default application id: the first 20 bytes of the hash of app-compose.json, as hex. */
export function defaultAppId(appCompose: string | Uint8Array): string {
  return createHash('sha256').update(appCompose).digest('hex').slice(0, 40);
}

/** Writes the files into a fresh folder. */
export async function writeShareFolder(dir: string, files: ShareFiles): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    if (content === undefined) continue;
    const path = join(dir, name);
    await mkdir(dirname(path), { recursive: true });
    if (typeof content === 'object' && 'linkTo' in content) await symlink(content.linkTo, path);
    else await writeFile(path, content);
  }
}

/** All shares have one size, so that an image can be rewritten while a VM has it attached but not mounted. */
const IMAGE_SIZE = 128 * 1024 * 1024;

/**
 * Makes an ext4 image of the folder (sparse, 128 MiB). An existing image is rewritten in place: a running guest sees
 * the new content when it mounts the disk the next time.
 */
export async function writeShareImage(image: string, dir: string): Promise<void> {
  const fresh = `${image}.new`;
  await rm(fresh, { force: true });
  await writeFile(fresh, '');
  await truncate(fresh, IMAGE_SIZE);
  const features = '^has_journal,^resize_inode';
  await runInTools(
    ['mke2fs', '-q', '-F', '-t', 'ext4', '-b', '4096', '-m', '0', '-O', features, '-L', SHARE_LABEL, '-d', dir, fresh],
    { timeoutMs: 60_000, binds: [dirname(image), dir] },
  );
  await copyFile(fresh, image); // writes into the file that QEMU has open, if there is one
  await rm(fresh);
}

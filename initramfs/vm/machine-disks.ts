/** The files behind a VM's disks and its share. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CLAIM_FILE, claimOf, formatClaim } from '../../simulator/system-claim.ts';
import { type ImageFolder, readImageFolder, readVmConfig, shapeFromVmConfig } from '../../src/os-image/os-image.ts';
import { DEFAULT_DISK_SIZE, ensureDisk } from './disk.ts';
import { DEFAULT_CPUS, DEFAULT_MEMORY_MIB, type MachineOptions } from './machine-options.ts';
import type { Disk } from './qemu.ts';
import { sysConfig, type VmFacts, vmConfig, writeShareFolder, writeShareImage } from './share.ts';

export const shareFolder = (dir: string): string => join(dir, 'share');

/** Writes the share of a VM; returns the disk image (unused for a 9p share). */
export async function prepareShare(options: MachineOptions): Promise<string> {
  const folder = options.image.folder === undefined ? undefined : await readImageFolder(options.image.folder);
  const facts: VmFacts = {
    ...boundMeasurement(folder),
    osImageHash: options.image.osImageHash,
    imageName: options.image.name,
    cpus: options.cpus ?? DEFAULT_CPUS,
    memoryMiB: options.memoryMiB ?? DEFAULT_MEMORY_MIB,
    shareMode: options.shareMode ?? 'disk',
  };
  const files = {
    '.sys-config.json': sysConfig(facts, options.sysConfig),
    [CLAIM_FILE]: folder && formatClaim(claimOf(folder.parts, shapeOf(vmConfig(facts)))),
    '.instance_info': options.rememberInstance ? await rememberedInstance(options) : undefined,
    ...options.share,
  };
  await writeShareFolder(shareFolder(options.dir), files);
  const image = join(options.dir, 'share.img');
  if (options.shareMode !== '9p') await writeShareImage(image, shareFolder(options.dir));
  return image;
}

function boundMeasurement(folder: ImageFolder | undefined): Pick<VmFacts, 'measurement'> {
  if (folder?.checksumFile === undefined || folder.measurement === undefined) return {};
  return { measurement: { checksumFile: folder.checksumFile, measurement: folder.measurement } };
}

/** The shape that verifiers read: of the same text. */
const shapeOf = (text: string) => shapeFromVmConfig(readVmConfig(Buffer.from(text), 'vm_config'));

/** Where the last `instance.info` of the guest is kept. */
export const instanceFile = (dir: string): string => join(dir, 'instance-info.json');

/** A VM with a new data disk is a new instance. */
async function rememberedInstance({ dir, dataDisk }: MachineOptions): Promise<string | undefined> {
  if (dataDisk !== 'keep') await rm(instanceFile(dir), { force: true });
  return readFile(instanceFile(dir), 'utf8').catch(() => undefined);
}

/** Makes the disks of a VM ready, in the order of their names in the guest. */
export async function prepareDisks(options: MachineOptions): Promise<Disk[]> {
  const disks: Disk[] = [{ file: options.image.root, readOnly: true }];
  const wanted = options.dataDisk ?? 'blank';
  if (wanted !== 'none') {
    const file = join(options.dir, 'data.img');
    await ensureDisk(file, { size: options.dataDiskSize ?? DEFAULT_DISK_SIZE, blank: wanted === 'blank' });
    disks.push({ file });
  }
  const share = await prepareShare(options);
  if (options.shareMode !== '9p') disks.push({ file: share, readOnly: true });
  return [...disks, ...(options.extraDisks ?? [])];
}

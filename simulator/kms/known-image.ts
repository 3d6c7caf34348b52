/**
 * Whether a guest runs an operating system image that the development KMS knows: MRTD and RTMR0 to RTMR2 are computed from
 * the image folder and the shape of the VM. Of the event log only the ACPI digests are taken, which the host made.
 */
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import {
  type AcpiDigests,
  checkImageFolder,
  type ImageParts,
  predictFromImage,
  readImageFolder,
  readVmConfig,
  shapeFromVmConfig,
} from '../../src/os-image/os-image.ts';
import { type Attestation, tdxEventLog } from '../../src/tdx/attestation.ts';
import type { TdQuoteBody } from '../../src/tdx/quote-layout.ts';
import { isAcpiData } from '../../src/tdx/tdx-event.ts';

export interface KnownImage {
  /** os_image_hash, hex */
  readonly hash: string;
  readonly parts: ImageParts;
}

/** Reads an image folder, which must be what its checksum file says. @throws OS_IMAGE_INVALID and what reading throws */
export async function knownImage(dir: string): Promise<KnownImage> {
  const folder = await readImageFolder(dir);
  return { hash: toHex(await checkImageFolder(folder)), parts: folder.parts };
}

const refuse = (why: string, cause?: unknown): DstackError =>
  new DstackError('REQUIREMENT_UNMET', `OS image not allowed: ${why}`, { cause });

/**
 * @param images one of which it must be: the one that `vm_config` names
 * @param vmConfig the text that came with the evidence
 * @throws REQUIREMENT_UNMET: another image, another register, or nothing to compute it from
 */
export function requireKnownImage(
  images: readonly KnownImage[],
  body: Pick<TdQuoteBody, 'mrtd' | 'rtmrs'>,
  attestation: Attestation,
  vmConfig: string,
): void {
  const vm = readVm(vmConfig);
  const hash = toHex(vm.osImageHash);
  const image = images.find((each) => each.hash === hash);
  if (image === undefined) throw refuse(`${hash === '' ? 'the guest names none' : hash} is not on the list`);
  const expected = predictFromImage(image.parts, shapeFromVmConfig(vm), acpiDigests(attestation));
  const registers = [
    { name: 'MRTD', found: body.mrtd, wanted: expected.mrtd.value, parts: expected.mrtd.dependsOn },
    ...expected.rtmrs.map(({ value, events }, index) => ({
      name: `RTMR${index}`,
      found: body.rtmrs[index as 0 | 1 | 2],
      wanted: value,
      parts: [...new Set(events.flatMap(({ dependsOn }) => dependsOn))].filter((part) => part !== 'nothing'),
    })),
  ];
  for (const { name, found, wanted, parts } of registers) {
    if (wanted !== undefined && toHex(found) === toHex(wanted)) continue;
    throw refuse(`${name} is not that of image ${hash}: another ${parts.join(', ')}`);
  }
}

function readVm(text: string): ReturnType<typeof readVmConfig> {
  try {
    return readVmConfig(Buffer.from(text), 'vm_config');
  } catch (thrown) {
    throw refuse('the guest does not say how its VM was built', thrown);
  }
}

/** The digests of the three events, which also stand in the evidence of a certificate; undefined unless all are there. */
function acpiDigests(attestation: Attestation): AcpiDigests | undefined {
  const [loader, rsdp, tables, another] = tdxEventLog(attestation).filter(isAcpiData);
  if (loader === undefined || rsdp === undefined || tables === undefined || another !== undefined) return undefined;
  return { loader: loader.digest, rsdp: rsdp.digest, tables: tables.digest };
}

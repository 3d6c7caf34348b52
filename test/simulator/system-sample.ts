/** A small image that can be measured, and the same with one flipped byte. */
import type { ImageParts, VmShape } from '../../src/os-image/os-image.ts';
import { buildFirmware, imageParts, initrdA, kernelA, METADATA } from '../os-image/sample.ts';

export const PARTS: ImageParts = imageParts();

/** 2 GiB, two processors; what `vm_config` leaves out. */
export const SHAPE: VmShape = {
  cpuCount: 2,
  memorySize: 2 ** 31,
  pciHole64Size: 0,
  hugepages: false,
  numGpus: 0,
  numNvswitches: 0,
  numNics: 1,
  numVerityVolumes: 0,
  swtpm: false,
  hotplugOff: false,
  hostShareMode: 'disk',
};

const flip = (bytes: Uint8Array, at: number): Uint8Array =>
  bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));

/** The image with one byte of this part flipped. */
export function changed(part: 'kernel' | 'initrd' | 'cmdline' | 'firmware'): ImageParts {
  if (part === 'kernel') return imageParts({ kernel: flip(kernelA(), kernelA().length - 16) });
  if (part === 'initrd') return imageParts({ initrd: flip(initrdA(), 100) });
  // the second page of code
  if (part === 'firmware') return imageParts({ firmware: flip(buildFirmware(), 0x2100) });
  return imageParts({ metadata: { cmdline: METADATA.cmdline.replace('ttyS0', 'ttyS1') } });
}

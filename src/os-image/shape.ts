/** The shape of a virtual machine: what of it can change a measurement of the system (os-image, sections 1 and 3). */

import { Fields } from '../config/fields.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { parseVmConfig, type VmConfig } from '../config/vm-config.ts';
import { DstackError } from '../errors.ts';

/** Memory and QEMU decide digests that can be computed; the rest decides the ACPI tables, which only the host computes. */
export type VmShape = Pick<
  VmConfig,
  | 'cpuCount'
  | 'memorySize'
  | 'qemuVersion'
  | 'qemuSinglePassAddPages'
  | 'pic'
  | 'pciHole64Size'
  | 'hugepages'
  | 'numGpus'
  | 'numNvswitches'
  | 'numNics'
  | 'numVerityVolumes'
  | 'swtpm'
  | 'hotplugOff'
  | 'hostShareMode'
>;

/** Order in which QEMU adds the firmware's pages to the TD and measures them. */
export type PageOrder = 'single-pass' | 'two-pass';

/** What the platform takes for granted when the host names no version. */
export const DEFAULT_QEMU_VERSION = '9.1.0';

/** Largest `vm_config` document in bytes. */
export const VM_CONFIG_LIMIT = 65_536;

/** Reads a `vm_config` document. @throws JSON_INVALID, DOCUMENT_INVALID */
export function readVmConfig(bytes: Uint8Array, path: string): VmConfig {
  return parseVmConfig(new Fields(parseStrictJsonBytes(bytes, path), { path }));
}

/** The shape a `vm_config` describes. */
export function shapeFromVmConfig(vm: VmConfig): VmShape {
  const { cpuCount, memorySize, qemuVersion, qemuSinglePassAddPages, pic, pciHole64Size, hugepages } = vm;
  const { numGpus, numNvswitches, numNics, numVerityVolumes, swtpm, hotplugOff, hostShareMode } = vm;
  return {
    ...{ cpuCount, memorySize, pciHole64Size, hugepages, numGpus, numNvswitches, numNics, numVerityVolumes },
    ...{ swtpm, hotplugOff, hostShareMode },
    ...(qemuVersion === undefined ? {} : { qemuVersion }),
    ...(qemuSinglePassAddPages === undefined ? {} : { qemuSinglePassAddPages }),
    ...(pic === undefined ? {} : { pic }),
  };
}

/**
 * QEMU 8 adds all pages of a section before it measures them, 9.0 and later measures page by page. The flag of
 * `vm_config` overrides the version, and in spite of its name `true` stands for two passes: that is how the platform
 * reads it.
 * @throws VM_SHAPE_UNSUPPORTED for a version below 8 or not of three numbers
 */
export function pageOrder(shape: Pick<VmShape, 'qemuVersion' | 'qemuSinglePassAddPages'>): PageOrder {
  const [major] = qemuVersion(shape);
  const twoPass = shape.qemuSinglePassAddPages ?? major < 9;
  return twoPass ? 'two-pass' : 'single-pass';
}

/**
 * From 10.2.0 on QEMU hands a confidential guest the kernel as it was built, without its own changes to the setup header.
 * @throws VM_SHAPE_UNSUPPORTED as `pageOrder`
 */
export function leavesKernelAsBuilt(shape: Pick<VmShape, 'qemuVersion'>): boolean {
  const [major, minor] = qemuVersion(shape);
  return major > 10 || (major === 10 && minor >= 2);
}

/**
 * From 10.0.0 on QEMU offers the kernel in both forms; firmware since edk2-stable202502 (Debian's 2025.02 included) takes it
 * as built where it is offered, older firmware does not know of it. The file of a firmware does not tell its age.
 * @throws VM_SHAPE_UNSUPPORTED as `pageOrder`
 */
export function offersKernelAsBuilt(shape: Pick<VmShape, 'qemuVersion'>): boolean {
  return qemuVersion(shape)[0] >= 10;
}

function qemuVersion(shape: Pick<VmShape, 'qemuVersion'>): readonly [major: number, minor: number] {
  const version = shape.qemuVersion ?? DEFAULT_QEMU_VERSION;
  const parts = /^(\d{1,9})\.(\d{1,9})\.(\d{1,9})$/.exec(version);
  if (parts === null) throw unsupported('qemu_version', version, 'is not MAJOR.MINOR.PATCH');
  const major = Number(parts[1]);
  if (major < 8) throw unsupported('qemu_version', version, 'is older than 8.0.0: it cannot start a TD');
  return [major, Number(parts[2])];
}

/** VM_SHAPE_UNSUPPORTED that names the field of `vm_config` and its value. */
export function unsupported(field: string, value: string | number, why: string): DstackError {
  return new DstackError('VM_SHAPE_UNSUPPORTED', `${field} ${value} ${why}`, { field, value });
}

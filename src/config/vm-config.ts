/** The `vm_config` document inside .sys-config.json: how the host built this VM. All fields have defaults. */
import { fromLatin1 } from '../codec/text.ts';
import type { Fields } from './fields.ts';

/** A measurement document bound to the OS image by its checksum file; both are raw bytes. */
export interface BoundMeasurement {
  readonly checksumFile: Uint8Array;
  readonly measurement: Uint8Array;
}

export interface VmConfig {
  /** SHA-256 of the image's sha256sum.txt, or empty */
  readonly osImageHash: Uint8Array;
  readonly cpuCount: number;
  /** bytes */
  readonly memorySize: number;
  readonly qemuSinglePassAddPages?: boolean;
  readonly pic?: boolean;
  readonly qemuVersion?: string;
  readonly pciHole64Size: number;
  readonly hugepages: boolean;
  readonly numGpus: number;
  readonly numNvswitches: number;
  readonly numNics: number;
  readonly numVerityVolumes: number;
  readonly swtpm: boolean;
  readonly hotplugOff: boolean;
  readonly image?: string;
  /** informational: 9p, vvfat, vhd ... */
  readonly hostShareMode: string;
  readonly ovmfVariant?: 'pre202505';
  readonly tdxAttestationVariant: 'legacy' | 'lite';
  readonly tdxMeasurement?: BoundMeasurement;
  readonly gcpMeasurement?: BoundMeasurement;
  readonly awsMeasurement?: BoundMeasurement;
  /** MrConfigV3 document text */
  readonly mrConfig?: string;
}

const U32_MAX = 0xffff_ffff;

/** @throws DOCUMENT_INVALID */
export function parseVmConfig(fields: Fields): VmConfig {
  const qemuVersion = fields.optionalString('qemu_version');
  const image = fields.optionalString('image');
  const mrConfig = fields.optionalString('mr_config');
  const variant = fields.optionalString('tdx_attestation_variant') ?? 'legacy';
  if (variant !== 'legacy' && variant !== 'lite') {
    fields.fail('tdx_attestation_variant', 'must be legacy or lite', variant);
  }
  const ovmfVariant = fields.optionalString('ovmf_variant');
  if (ovmfVariant !== undefined && ovmfVariant !== 'pre202505') {
    fields.fail('ovmf_variant', 'must be pre202505', ovmfVariant);
  }
  return {
    osImageHash: fields.hex('os_image_hash'),
    cpuCount: fields.integer('cpu_count', 0, U32_MAX),
    memorySize: fields.integer('memory_size', 0, Number.MAX_SAFE_INTEGER),
    ...flag(fields, 'qemuSinglePassAddPages', 'qemu_single_pass_add_pages'),
    ...flag(fields, 'pic', 'pic'),
    ...(qemuVersion === undefined ? {} : { qemuVersion }),
    pciHole64Size: fields.integer('pci_hole64_size', 0, Number.MAX_SAFE_INTEGER),
    hugepages: fields.boolean('hugepages', false),
    numGpus: fields.integer('num_gpus', 0, U32_MAX),
    numNvswitches: fields.integer('num_nvswitches', 0, U32_MAX),
    numNics: fields.integer('num_nics', 1, U32_MAX),
    numVerityVolumes: fields.integer('num_verity_volumes', 0, U32_MAX),
    swtpm: fields.boolean('swtpm', false),
    hotplugOff: fields.boolean('hotplug_off', false),
    ...(image === undefined ? {} : { image }),
    hostShareMode: fields.optionalString('host_share_mode') ?? '',
    ...(ovmfVariant === undefined ? {} : { ovmfVariant }),
    tdxAttestationVariant: variant,
    ...measurement(fields, 'tdxMeasurement', 'tdx_measurement'),
    ...measurement(fields, 'gcpMeasurement', 'gcp_measurement'),
    ...measurement(fields, 'awsMeasurement', 'aws_measurement'),
    ...(mrConfig === undefined ? {} : { mrConfig }),
  };
}

/** A flag whose absence means something else than false; null counts as absent. */
function flag<K extends string>(fields: Fields, key: K, name: string): { [P in K]?: boolean } {
  if ((fields.raw(name) ?? undefined) === undefined) return {};
  return { [key]: fields.boolean(name, false) } as { [P in K]?: boolean };
}

function measurement<K extends string>(fields: Fields, key: K, name: string): { [P in K]?: BoundMeasurement } {
  const bound = fields.object(name);
  if (bound === undefined) return {};
  const value = { checksumFile: base64(bound, 'checksum_file'), measurement: base64(bound, 'measurement') };
  return { [key]: value } as { [P in K]?: BoundMeasurement };
}

function base64(fields: Fields, name: string): Uint8Array {
  const text = fields.string(name);
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) {
    fields.fail(name, 'must be base64 with padding', text);
  }
  return fromLatin1(atob(text));
}

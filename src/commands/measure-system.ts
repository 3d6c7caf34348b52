/** The system's part of `measure`: MRTD and RTMR0 to RTMR2 of an image in a VM of a given shape. */
import { dirname, join } from 'node:path';
import { fromHex, toHex } from '../codec/hex.ts';
import { parseHumanSize } from '../config/human-size.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';
import {
  type AcpiDigests,
  CHECKSUM_FILE,
  CHECKSUM_LIMIT,
  checkImageFolder,
  MEASUREMENT_LIMIT,
  predictFromDocument,
  predictFromImage,
  readBoundMeasurement,
  readImageFolder,
  readVmConfig,
  type SystemEvent,
  type SystemPrediction,
  shapeFromVmConfig,
  systemJson,
  VM_CONFIG_LIMIT,
  type VmShape,
} from '../os-image/os-image.ts';
import { readLimited, utf8 } from '../sys/files.ts';
import { parseLogJson } from '../tdx/log-json.ts';

export interface SystemOptions {
  readonly image?: string;
  readonly imageMeasurement?: string;
  readonly checksumFile?: string;
  readonly vmConfig?: string;
  readonly memory?: string;
  readonly cpus?: string;
  readonly qemuVersion?: string;
  readonly vm: string[];
  readonly acpi?: string;
  readonly eventLog?: string;
}

export interface System {
  readonly prediction: SystemPrediction;
  /** 32 bytes; undefined for a folder without a checksum file */
  readonly osImageHash: Uint8Array | undefined;
  /** what the kernel is started with; a measurement document has only its digest */
  readonly cmdline: string | undefined;
}

const EVENT_LOG_LIMIT = 16 * 1024 * 1024;

/** Whether a system is asked for at all. @throws USAGE for options of a system without one */
export function asksForSystem(options: SystemOptions): boolean {
  const { image, imageMeasurement, checksumFile, vmConfig, memory, cpus, qemuVersion, vm, acpi, eventLog } = options;
  if (image !== undefined && imageMeasurement !== undefined) {
    throw new DstackError('USAGE', 'give --image or --image-measurement, not both');
  }
  if (checksumFile !== undefined && imageMeasurement === undefined) {
    throw new DstackError('USAGE', '--checksum-file goes with --image-measurement only');
  }
  if (image !== undefined || imageMeasurement !== undefined) return true;
  const shape = { vmConfig, memory, cpus, qemuVersion, vm: vm[0], acpi, eventLog };
  if (Object.values(shape).some((value) => value !== undefined)) {
    throw new DstackError('USAGE', 'options of the VM need --image or --image-measurement');
  }
  return false;
}

/** @throws what the readers of the image, the document and the shape throw */
export async function predictSystem(options: SystemOptions): Promise<System> {
  const shape = await shapeOf(options);
  const acpi = await acpiOf(options);
  if (options.image !== undefined) {
    const folder = await readImageFolder(options.image);
    const prediction = predictFromImage(folder.parts, shape, acpi);
    const osImageHash = folder.checksumFile === undefined ? undefined : await checkImageFolder(folder);
    return { prediction, osImageHash, cmdline: folder.parts.metadata.cmdline };
  }
  const path = options.imageMeasurement ?? '';
  const checksums = options.checksumFile ?? join(dirname(path), CHECKSUM_FILE);
  const { document, osImageHash } = readBoundMeasurement({
    measurement: await readLimited(path, MEASUREMENT_LIMIT),
    checksumFile: await readLimited(checksums, CHECKSUM_LIMIT),
  });
  return { prediction: predictFromDocument(document, shape, acpi), osImageHash, cmdline: undefined };
}

/** The document of `--vm-config` with the single options laid over it. */
async function shapeOf(options: SystemOptions): Promise<VmShape> {
  const path = options.vmConfig;
  const document =
    path === undefined ? {} : asObject(parseStrictJsonBytes(await readLimited(path, VM_CONFIG_LIMIT), path), path);
  const { memory, cpus, qemuVersion } = options;
  const fields = {
    ...document,
    ...Object.fromEntries(options.vm.map(vmField)),
    ...(memory === undefined ? {} : { memory_size: Number(parseHumanSize(memory, '--memory')) }),
    ...(cpus === undefined ? {} : { cpu_count: literal(cpus) }),
    ...(qemuVersion === undefined ? {} : { qemu_version: qemuVersion }),
  };
  if (!('memory_size' in fields)) {
    throw new DstackError('INPUT_INVALID', 'the memory of the VM is not given: give --memory or --vm-config', {
      field: '--memory',
    });
  }
  return shapeFromVmConfig(readVmConfig(new TextEncoder().encode(JSON.stringify(fields)), path ?? 'the options'));
}

function asObject(value: unknown, path: string): object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new DstackError('DOCUMENT_INVALID', `${path} is not a JSON object`, { path });
}

/** true, false and whole numbers are what they look like; everything else is text. */
const literal = (text: string): unknown => (/^(true|false|0|[1-9]\d{0,15})$/.test(text) ? JSON.parse(text) : text);

const FIELD =
  /^(pic|pci_hole64_size|hugepages|num_(?:gpus|nvswitches|nics|verity_volumes)|swtpm|hotplug_off|host_share_mode|qemu_single_pass_add_pages)=(.*)$/;

function vmField(text: string): [string, unknown] {
  const [, name, value] = FIELD.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new DstackError('INPUT_INVALID', `--vm ${JSON.stringify(text)} is not NAME=VALUE of a field of vm_config`, {
      field: '--vm',
      value: text,
    });
  }
  return [name, literal(value)];
}

const DIGEST = { length: 48, prefix: true } as const;

/** The three digests that only the host and an event log know. */
async function acpiOf({ acpi, eventLog }: SystemOptions): Promise<AcpiDigests | undefined> {
  if (acpi !== undefined) {
    const [loader, rsdp, tables, ...more] = acpi
      .split(',')
      .map((text) => fromHex(text, { field: '--acpi', ...DIGEST }));
    if (loader !== undefined && rsdp !== undefined && tables !== undefined && more.length === 0) {
      return { loader, rsdp, tables };
    }
    throw new DstackError('INPUT_INVALID', '--acpi is not three digests with commas between', {
      field: '--acpi',
      value: acpi,
    });
  }
  if (eventLog === undefined) return undefined;
  const events = parseLogJson(utf8(await readLimited(eventLog, EVENT_LOG_LIMIT), eventLog));
  const digest = (name: string): Uint8Array => {
    const found = events.filter(({ imr, event }) => imr === 0 && event === name);
    if (found.length === 1 && found[0]?.digest.length === DIGEST.length) return found[0].digest;
    throw new DstackError('EVENT_LOG_INVALID', `event log ${eventLog} has ${found.length} events ${name}, not one`, {
      path: eventLog,
      field: name,
    });
  };
  return { loader: digest('acpi-loader'), rsdp: digest('acpi-rsdp'), tables: digest('acpi-tables') };
}

/** The image as an expectation file has it: what was computed for a VM of one shape. */
export const predictedImage = ({ prediction, osImageHash }: System): object => ({
  ...(osImageHash === undefined ? {} : { os_image_hash: toHex(osImageHash) }),
  predicted: systemJson(prediction, osImageHash),
});

export const systemResult = ({ prediction, osImageHash }: System): unknown => systemJson(prediction, osImageHash);

const DIGITS = 16;
const NAME_WIDTH = 26;

function row({ name, digest, dependsOn }: SystemEvent): string {
  const short = digest === undefined ? '?' : `${toHex(digest).slice(0, DIGITS)}…`;
  return `  ${name.padEnd(NAME_WIDTH)} ${short.padEnd(DIGITS + 1)}  ${dependsOn.join(', ')}`;
}

export function systemText({ prediction, osImageHash }: System): string[] {
  const { mrtd, rtmrs, unknown, assumed } = prediction;
  const registers = rtmrs.flatMap(({ events, value }, index) => [
    '',
    `  ${`RTMR${index} event`.padEnd(NAME_WIDTH)} ${'digest'.padEnd(DIGITS + 1)}  depends on`,
    ...events.map(row),
    `RTMR${index}         ${value === undefined ? 'not known, because of what is missing' : toHex(value)}`,
  ]);
  return [
    `os image hash ${osImageHash === undefined ? `none: the folder has no ${CHECKSUM_FILE}` : toHex(osImageHash)}`,
    `MRTD          ${toHex(mrtd.value)}`,
    `  depends on  ${mrtd.dependsOn.join(', ')}`,
    ...registers,
    '',
    ...unknown.map(({ event, why }) => `  unknown     ${event}: ${why}`),
    ...assumed.map((text) => `  assumed     ${text}`),
  ];
}

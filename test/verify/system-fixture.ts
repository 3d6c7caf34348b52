/** An image folder, a VM of it on paper, and its evidence: registers and log as firmware and kernel would have measured. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mockQuote } from '../../simulator/mock-quote.ts';
import { toHex } from '../../src/codec/hex.ts';
import {
  type AcpiDigests,
  documentOfImage,
  formatChecksumFile,
  type ImageFolder,
  type ImageParts,
  osImageHash,
  predictFromDocument,
  predictFromImage,
  readImageMetadata,
  readMeasurementDocument,
  readVmConfig,
  type SystemPrediction,
  shapeFromVmConfig,
  writeMeasurementDocument,
} from '../../src/os-image/os-image.ts';
import { quoteLogJson } from '../../src/tdx/log-json.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import { ACPI_DATA, type TdxEvent, toTdxEvent } from '../../src/tdx/tdx-event.ts';
import { buildFirmware, initrdA, kernelA, kernelB } from '../os-image/sample.ts';
import { bootEvents, PKI, REPORT_DATA } from './guest.ts';

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const digest = (algorithm: string, bytes: Uint8Array): Uint8Array =>
  new Uint8Array(createHash(algorithm).update(bytes).digest());

export const CMDLINE = `console=ttyS0 dstack.rootfs_hash=${'ab'.repeat(32)} dstack.rootfs_size=4096`;
export const ACPI: AcpiDigests = {
  loader: new Uint8Array(48).fill(0x11),
  rsdp: new Uint8Array(48).fill(0x22),
  tables: new Uint8Array(48).fill(0x33),
};

/** The files of an image folder, by name. */
export interface Files {
  readonly firmware: Uint8Array;
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly cmdline: string;
}
export const FILES: Files = {
  firmware: buildFirmware(),
  kernel: kernelA(),
  initrd: initrdA(),
  cmdline: CMDLINE,
};
export const OTHER_KERNEL = kernelB();

/** A copy with one bit of one byte changed. */
export function flip(bytes: Uint8Array, at: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

export const metadataOf = (cmdline: string): Uint8Array =>
  bytesOf(
    JSON.stringify({
      bios: 'ovmf.fd',
      kernel: 'bzImage',
      initrd: 'initrd',
      cmdline,
      version: '0.6.0',
      shared_ro: true,
    }),
  );

export const partsOf = ({ firmware, kernel, initrd, cmdline }: Files): ImageParts => ({
  metadata: readImageMetadata(metadataOf(cmdline)),
  firmware,
  kernel,
  initrd: { size: initrd.length, sha384: digest('sha384', initrd) },
});

export const measurementOf = (files: Files): Uint8Array => writeMeasurementDocument(documentOfImage(partsOf(files)));

/** `sha256sum.txt` over what identifies the image. */
export const checksumsOf = (files: Files): Uint8Array =>
  formatChecksumFile(
    new Map(
      Object.entries({
        'metadata.json': metadataOf(files.cmdline),
        'ovmf.fd': files.firmware,
        bzImage: files.kernel,
        initrd: files.initrd,
        'measurement.tdx.cbor': measurementOf(files),
      }).map(([name, bytes]) => [name, digest('sha256', bytes)]),
    ),
  );

export const folderOf = (files: Files): ImageFolder => {
  const checksumFile = checksumsOf(files);
  return {
    dir: 'image',
    parts: partsOf(files),
    checksumFile,
    osImageHash: osImageHash(checksumFile),
    measurement: measurementOf(files),
  };
};

/** Writes the folder. @param parts files that are not what the checksum file says */
export function writeImageFolder(dir: string, files: Files, parts: Readonly<Record<string, Uint8Array>> = {}): void {
  mkdirSync(dir, { recursive: true });
  const contents = {
    'metadata.json': metadataOf(files.cmdline),
    'ovmf.fd': files.firmware,
    bzImage: files.kernel,
    initrd: files.initrd,
    'measurement.tdx.cbor': measurementOf(files),
    'sha256sum.txt': checksumsOf(files),
    ...parts,
  };
  for (const [name, bytes] of Object.entries(contents)) writeFileSync(join(dir, name), bytes);
}

/** The vm_config that a host writes. @param changes laid over it; undefined removes a member */
export function vmConfigOf(files: Files, changes: Record<string, unknown> = {}): Record<string, unknown> {
  const checksumFile = checksumsOf(files);
  return {
    os_image_hash: toHex(osImageHash(checksumFile)),
    cpu_count: 2,
    memory_size: 4 * 1024 ** 3,
    qemu_version: '9.2.1',
    tdx_attestation_variant: 'lite',
    tdx_measurement: {
      checksum_file: Buffer.from(checksumFile).toString('base64'),
      measurement: Buffer.from(measurementOf(files)).toString('base64'),
    },
    ...changes,
  };
}

export const shapeOf = (config: Record<string, unknown>) =>
  shapeFromVmConfig(readVmConfig(bytesOf(JSON.stringify(config)), 'vm_config'));

/** What a VM of the image measures, from the image or from its document: they differ in the variable store. */
export const fromImage = (files: Files, config = vmConfigOf(files)): SystemPrediction =>
  predictFromImage(partsOf(files), shapeOf(config), ACPI);
export const fromDocument = (files: Files, config = vmConfigOf(files)): SystemPrediction =>
  predictFromDocument(readMeasurementDocument(measurementOf(files)), shapeOf(config), ACPI);

/** The log that leads to these registers, as it stands in an attestation. */
export const logOf = ({ rtmrs }: SystemPrediction): TdxEvent[] =>
  rtmrs.flatMap(({ events }) =>
    events.map(({ register, name, eventType, digest: measured }): TdxEvent => {
      const acpi = name.startsWith('acpi-');
      return {
        imr: register,
        eventType,
        digest: measured ?? new Uint8Array(48),
        event: acpi ? name : '',
        payload: acpi ? bytesOf(ACPI_DATA) : new Uint8Array(),
        version: 1,
      };
    }),
  );

const registersOf = ({ mrtd, rtmrs }: SystemPrediction) => ({
  mrtd: mrtd.value,
  rtmrs: rtmrs.map(({ value }) => value ?? new Uint8Array(48)),
});

export interface Vm {
  /** what was really measured */
  readonly measured: SystemPrediction;
  readonly config: Record<string, unknown> | string;
  /** what the log says, default what was measured */
  readonly log?: readonly TdxEvent[];
}

/** Its GetQuote answer. */
export function answerOf({ measured, config, log }: Vm): Uint8Array {
  const events = bootEvents();
  const { mrtd, rtmrs } = registersOf(measured);
  const quote = mockQuote(PKI, { mrtd, rtmrs: [...rtmrs, replayRuntime(events)], reportData: REPORT_DATA });
  return bytesOf(
    JSON.stringify({
      quote: toHex(quote),
      event_log: quoteLogJson([...(log ?? logOf(measured)), ...events.map(toTdxEvent)]),
      report_data: toHex(REPORT_DATA),
      vm_config: typeof config === 'string' ? config : JSON.stringify(config),
    }),
  );
}

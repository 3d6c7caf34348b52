/** `verify init`: makes an expectation file of an app's document and an image. */
import { dirname, join } from 'node:path';
import { toHex } from '../codec/hex.ts';
import { toBase64 } from '../codec/text.ts';
import { DstackError } from '../errors.ts';
import {
  CHECKSUM_FILE,
  CHECKSUM_LIMIT,
  checkImageFolder,
  checkPlatformFirmware,
  documentOfImage,
  MEASUREMENT_FILE,
  MEASUREMENT_LIMIT,
  parseChecksumFile,
  readBoundMeasurement,
  readImageFolder,
  writeMeasurementDocument,
} from '../os-image/os-image.ts';
import { readLimited, utf8 } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { loadInputs, loadTcbPolicy } from '../verify/verify.ts';
import { expectationDocument, expectationText, writeExpectations } from './expectation-document.ts';
import { predictApp } from './measure-app.ts';
import { asksForSystem, predictedImage, predictSystem, type System } from './measure-system.ts';
import type { PredictionOptions } from './prediction-options.ts';

interface Options extends PredictionOptions {
  readonly rootCa?: string;
  readonly allowTcb: string[];
  /** commander sets it to false for --no-fresh */
  readonly fresh: boolean;
  readonly out?: string;
}

/** @throws what reading and predicting throw; INPUT_INVALID for an image that has no document */
export async function init(file: string | undefined, options: Options): Promise<void> {
  const { allowedStatuses } = await loadTcbPolicy();
  allowedStatuses(options.allowTcb);
  const { image, known } = await imageOf(options);
  const app = await predictApp(file, options, known);
  const document = expectationDocument({
    app,
    image,
    root: options.rootCa === undefined ? undefined : await pemOf(options.rootCa),
    allowed: options.allowTcb,
    fresh: options.fresh,
  });
  if (options.out === undefined) return ui.output(expectationText(document));
  await writeExpectations(options.out, document);
  const open = app.unknown.map(({ event, why }) => `  left open   ${event}: ${why}`);
  const lines = [
    `wrote ${options.out}`,
    `  app         ${toHex(app.appId)}, compose hash ${toHex(app.composeHash)}`,
    `  image       ${image === undefined ? 'any: --image or --image-measurement names one' : hashOf(known)}`,
    `  root        ${options.rootCa ?? 'Intel’s'}`,
    `  report data ${options.fresh ? 'required: verify --expect report-data=...' : 'not required'}`,
    ...open,
  ];
  ui.result(document, { text: () => lines });
}

const hashOf = ({ osImageHash }: Partial<System> = {}): string =>
  osImageHash === undefined ? 'without an os_image_hash' : `os_image_hash ${toHex(osImageHash)}`;

async function pemOf(file: string): Promise<string> {
  const { trustAnchor } = await loadInputs();
  const { toPem } = await import('../x509/x509.ts');
  return toPem('CERTIFICATE', (await trustAnchor(file)).certificate.der);
}

type Known = Pick<System, 'osImageHash' | 'cmdline'>;

async function imageOf(options: Options): Promise<{ image?: object; known?: Known }> {
  const { memory, vmConfig } = options;
  const shape = memory !== undefined || vmConfig !== undefined;
  // without a shape nothing is computed here: the document serves for any
  if (shape) {
    if (!asksForSystem(options)) return {};
    const system = await predictSystem(options);
    return { image: predictedImage(system), known: system };
  }
  if (!asksForSystem(options)) return {};
  if (options.image !== undefined) return ofFolder(options.image);
  const path = options.imageMeasurement ?? '';
  const measurement = await readLimited(path, MEASUREMENT_LIMIT);
  const checksumFile = await readLimited(options.checksumFile ?? join(dirname(path), CHECKSUM_FILE), CHECKSUM_LIMIT);
  const { osImageHash } = readBoundMeasurement({ measurement, checksumFile });
  return { image: imageOfDocument(measurement, checksumFile, osImageHash), known: { osImageHash, cmdline: undefined } };
}

async function ofFolder(dir: string): Promise<{ image: object; known: Known }> {
  const folder = await readImageFolder(dir);
  const { parts, checksumFile, measurement } = folder;
  const osImageHash = checksumFile === undefined ? undefined : await checkImageFolder(folder);
  try {
    checkPlatformFirmware(parts.firmware);
  } catch (thrown) {
    throw new DstackError('INPUT_INVALID', `the image in ${dir} has no measurement document that fits every VM`, {
      ...{ field: '--image', value: dir, cause: thrown },
      hint: 'give --memory, --cpus and --qemu-version: the registers of one shape are written then',
    });
  }
  const named = checksumFile !== undefined && parseChecksumFile(checksumFile).has(MEASUREMENT_FILE);
  const image =
    named && measurement !== undefined
      ? imageOfDocument(measurement, checksumFile, osImageHash)
      : imageOfDocument(writeMeasurementDocument(documentOfImage(parts)), undefined, osImageHash);
  return { image, known: { osImageHash, cmdline: parts.metadata.cmdline } };
}

const imageOfDocument = (document: Uint8Array, checksums?: Uint8Array, osImageHash?: Uint8Array): object => ({
  ...(osImageHash === undefined ? {} : { os_image_hash: toHex(osImageHash) }),
  measurement: {
    document: toBase64(document),
    ...(checksums === undefined ? {} : { checksums: utf8(checksums, CHECKSUM_FILE) }),
  },
});

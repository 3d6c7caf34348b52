/** Judging evidence: quotes, answers of the guest agent, attestations, RA-TLS certificates. */
import type { VmConfig } from '../../src/config/vm-config.ts';
import { DstackError, errorChain } from '../../src/errors.ts';
import {
  checkImageFiles,
  digestOfFiles,
  imageOfFiles,
  readBoundMeasurement,
  readMeasurementDocument,
  readVmConfig,
} from '../../src/os-image/os-image.ts';
import { parseCollateral } from '../../src/verify/collateral-format.ts';
import { parseExpectationFile } from '../../src/verify/expectation-file.ts';
import { parseExpectations, parsePrediction } from '../../src/verify/expectations.ts';
import { joinDemands } from '../../src/verify/joined-demands.ts';
import { reportJson } from '../../src/verify/report-json.ts';
import { documentReference, imageReference, type SystemReference } from '../../src/verify/system-reference.ts';
import { allowedStatuses } from '../../src/verify/tcb-policy.ts';
import { anchorOfFile, expectedAnchor, intelAnchor } from '../../src/verify/trust-anchor.ts';
import { verifyEvidence as judge } from '../../src/verify/verify-evidence.ts';
import { type Content, contentBytes } from './bytes.ts';
import type { Report } from './report.ts';

/** DCAP collateral in the JSON shape of dcap-qvl: the text of the file, or what JSON.parse makes of it. */
export type CollateralDocument = Content | object;

/** The platform whose collateral is wanted. */
export interface PlatformName {
  /** hex, 6 bytes */
  readonly fmspc: string;
  /** hex, 2 bytes */
  readonly pceId: string;
  /** which of Intel's two CAs issued its certificate */
  readonly ca: 'processor' | 'platform';
}

export interface EvidenceOptions {
  /** without it `fetchCollateral` is asked */
  readonly collateral?: CollateralDocument | undefined;
  /** finds collateral, from wherever you trust it to come; undefined when the quote does not say its platform */
  readonly fetchCollateral?: ((platform: PlatformName | undefined) => Promise<CollateralDocument>) | undefined;
  /** root certificate in PEM or DER instead of Intel's */
  readonly rootCa?: Content | undefined;
  /** judge as of this time (milliseconds or a date) instead of now */
  readonly at?: number | Date | undefined;
  /** an expectation file (docs/schemas/expectations.v1.json): its text, or what JSON.parse makes of it */
  readonly expectations?: Content | object | undefined;
  /** demands as `--expect` takes them: `app-id=…`, `report-data=…`, `event NAME=HEX` */
  readonly expect?: readonly string[] | undefined;
  /** what `measure --json`, `predictApp` or `predictImage` said: events of the app, registers of the system */
  readonly prediction?: Content | object | undefined;
  /** measurement.tdx.cbor of the image, with sha256sum.txt for its identity */
  readonly measurement?: { readonly document: Uint8Array; readonly checksums?: Content | undefined } | undefined;
  /** the files of the image by their names, metadata.json among them */
  readonly image?: Readonly<Record<string, Uint8Array>> | undefined;
  /** vm_config as JSON instead of the one in the evidence */
  readonly vmConfig?: Content | object | undefined;
  /** evidence of any app will do: without this or a pin of an app the verdict stays `unchecked` */
  readonly anyApp?: boolean | undefined;
  /** TCB statuses besides UpToDate */
  readonly allowTcb?: readonly string[] | undefined;
  readonly allowUnencryptedStorage?: boolean | undefined;
  /** event log as JSON, for a quote that comes without one */
  readonly eventLog?: Content | object | undefined;
}

/**
 * Judges evidence. What the evidence holds never makes it throw: it is in the report.
 * @param evidence bytes of a file, or its text: raw or hex quote, JSON answer, attestation, certificate in PEM or DER
 * @throws an error with a `code`, for options that cannot be used
 */
export async function verifyEvidence(evidence: Content, options: EvidenceOptions = {}): Promise<Report> {
  const file =
    options.expectations === undefined
      ? undefined
      : parseExpectationFile(documentBytes(options.expectations), 'expectations as given');
  const given = options.rootCa === undefined ? undefined : anchorOfFile(contentBytes(options.rootCa));
  const anchor = file === undefined ? (given ?? intelAnchor()) : expectedAnchor(file, given);
  const at = timeOf(options.at);
  const demands = joinDemands({
    file,
    pins: parseExpectations(options.expect ?? []),
    prediction:
      options.prediction === undefined ? {} : parsePrediction(documentBytes(options.prediction), 'prediction as given'),
    predictionName: 'as given',
    allowed: allowedStatuses(options.allowTcb ?? []),
    anyApp: options.anyApp ?? false,
    allowUnencrypted: options.allowUnencryptedStorage ?? false,
    references: await referencesOf(options),
    vmConfig: vmConfigOf(options.vmConfig),
  });
  const report = await judge(contentBytes(evidence), {
    ...demands,
    root: anchor.certificate,
    at,
    collateral: async (platform) => collateralOf(options, platform),
    eventLog: options.eventLog === undefined ? undefined : documentBytes(options.eventLog),
  });
  const root = { name: anchor.name, sha256: anchor.sha256, intel: anchor.intel };
  return reportJson(report, { at, root }) as Report;
}

/** where the collateral came from, in reports */
const GIVEN = 'collateral as given';
const FETCHED = 'collateral as fetched';

/** @throws INPUT_INVALID */
function timeOf(at: number | Date | undefined): number {
  const time = at === undefined ? Date.now() : Number(at);
  if (Number.isFinite(time) && Math.abs(time) <= 8.64e15) return time;
  throw new DstackError('INPUT_INVALID', 'at is not a time', { field: 'at', value: String(at) });
}

const isContent = (value: Content | object): value is Content =>
  typeof value === 'string' || value instanceof Uint8Array;

const documentBytes = (value: Content | object): Uint8Array =>
  contentBytes(isContent(value) ? value : JSON.stringify(value));

async function collateralOf(
  { collateral, fetchCollateral }: EvidenceOptions,
  platform: PlatformName | undefined,
): Promise<{ collateral: ReturnType<typeof parseCollateral>; source: string }> {
  if (collateral !== undefined) {
    return { collateral: parseCollateral(documentBytes(collateral), GIVEN), source: GIVEN };
  }
  if (fetchCollateral === undefined) {
    throw new DstackError('COLLATERAL_UNAVAILABLE', 'no collateral was given, and nothing to fetch it with');
  }
  const name = platform && { fmspc: platform.fmspc, pceId: platform.pceId, ca: platform.ca };
  const fetched = await fetchCollateral(name);
  return { collateral: parseCollateral(documentBytes(fetched), FETCHED), source: FETCHED };
}

const vmConfigOf = (document: Content | object | undefined): VmConfig | undefined =>
  document === undefined ? undefined : readVmConfig(documentBytes(document), 'vmConfig');

/** What the system is compared with. @throws EVIDENCE_UNCHECKED when it cannot be used */
async function referencesOf({ image, measurement }: EvidenceOptions): Promise<SystemReference[]> {
  if (image !== undefined && measurement !== undefined) {
    throw new DstackError('INPUT_INVALID', 'image and measurement exclude each other', { field: 'measurement' });
  }
  try {
    if (image !== undefined) return [await ofImage(image)];
    return measurement === undefined ? [] : [ofMeasurement(measurement)];
  } catch (cause) {
    throw new DstackError('EVIDENCE_UNCHECKED', 'the image cannot be used to judge the system', { cause });
  }
}

/** Files that do not belong together are still compared: that tells which part it is. */
async function ofImage(record: Readonly<Record<string, Uint8Array>>): Promise<SystemReference> {
  const files = new Map(Object.entries(record));
  const image = imageOfFiles(files, 'as given');
  if (image.checksumFile === undefined) return imageReference(image);
  try {
    await checkImageFiles(image, digestOfFiles(files, 'as given'));
    return imageReference(image);
  } catch (thrown) {
    return imageReference(image, errorChain(thrown));
  }
}

function ofMeasurement({ document, checksums }: NonNullable<EvidenceOptions['measurement']>): SystemReference {
  const name = 'measurement document as given';
  if (checksums === undefined) return documentReference('document', name, readMeasurementDocument(document));
  const bound = readBoundMeasurement({ checksumFile: contentBytes(checksums), measurement: document });
  return documentReference('document', name, bound.document, bound.osImageHash);
}

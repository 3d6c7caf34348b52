/** Judges the files with the code of `dstack-util verify`, and with nothing of its own. */

import { parseRfc3339 } from '../../../src/codec/rfc3339.ts';
import { DstackError, errorChain } from '../../../src/errors.ts';
import { readBoundMeasurement, readMeasurementDocument } from '../../../src/os-image/os-image.ts';
import { parseCollateral } from '../../../src/verify/collateral-format.ts';
import { parseExpectationFile } from '../../../src/verify/expectation-file.ts';
import { parseExpectations } from '../../../src/verify/expectations.ts';
import { joinDemands } from '../../../src/verify/joined-demands.ts';
import { reportJson } from '../../../src/verify/report-json.ts';
import { documentReference, type SystemReference } from '../../../src/verify/system-reference.ts';
import { allowedStatuses } from '../../../src/verify/tcb-policy.ts';
import { anchorOfFile, expectedAnchor, intelAnchor } from '../../../src/verify/trust-anchor.ts';
import { verifyEvidence } from '../../../src/verify/verify-evidence.ts';
import type { Files, Loaded } from './files.ts';
import type { ReportJson } from './report.ts';

/** What was given cannot be used; the message is a sentence for people. */
export class Unusable extends Error {}

/** Runs one reader, and names the file that it refuses. */
function reading<T>(file: Loaded | undefined, what: string, read: (file: Loaded) => T): T | undefined {
  if (file === undefined) return undefined;
  try {
    return read(file);
  } catch (thrown) {
    throw new Unusable(`${file.name} cannot be used as ${what}: ${errorChain(thrown)}`);
  }
}

/** What was typed; each may be empty. */
export interface Typed {
  /** RFC 3339, now when empty */
  readonly at: string;
  /** hex */
  readonly reportData: string;
}

/** @throws Unusable */
export async function judge(files: Files, typed: Typed): Promise<ReportJson> {
  const evidence = files.get('evidence');
  if (evidence === undefined) throw new Unusable('The evidence itself is missing.');
  const at = timeOf(typed.at);
  const collateral = reading(files.get('collateral'), 'collateral', ({ name, bytes }) => ({
    collateral: parseCollateral(bytes, name),
    source: name,
  }));
  const { anchor, ...demands } = demandsOf(files, typed.reportData);
  const report = await verifyEvidence(evidence.bytes, {
    ...demands,
    root: anchor.certificate,
    at,
    collateral: async () => {
      if (collateral !== undefined) return collateral;
      throw new DstackError('COLLATERAL_UNAVAILABLE', 'no collateral was given, and this page fetches none');
    },
    eventLog: files.get('eventLog')?.bytes,
  });
  const root = { name: anchor.name, sha256: anchor.sha256, intel: anchor.intel };
  return JSON.parse(JSON.stringify(reportJson(report, { at, root }))) as ReportJson;
}

/** What the files and the number demand together: `--expect-file`, `--root-ca`, `--image-measurement` and report data. */
function demandsOf(files: Files, reportData: string) {
  const file = reading(files.get('expectations'), 'expectations', ({ name, bytes }) =>
    parseExpectationFile(bytes, name),
  );
  const given = reading(files.get('root'), 'a root certificate', ({ bytes }) => anchorOfFile(bytes));
  const references = systemOf(files);
  if (file?.freshRequired && reportData === '') {
    throw new Unusable(
      'The expectations demand fresh evidence: write the report data that you gave the guest as “Your number”.',
    );
  }
  try {
    const pins = parseExpectations(reportData === '' ? [] : [`report-data=${reportData}`]);
    const none = { prediction: {}, predictionName: '', anyApp: false, allowUnencrypted: false };
    const demands = joinDemands({ file, pins, references, allowed: allowedStatuses([]), ...none });
    return { ...demands, anchor: file === undefined ? (given ?? intelAnchor()) : expectedAnchor(file, given) };
  } catch (thrown) {
    throw thrown instanceof DstackError ? new Unusable(errorChain(thrown)) : thrown;
  }
}

function systemOf(files: Files): SystemReference[] {
  const measurement = files.get('measurement');
  const checksums = files.get('checksums');
  if (checksums !== undefined && measurement === undefined) {
    throw new Unusable(`${checksums.name} goes with measurement.tdx.cbor, which is missing.`);
  }
  const reference = reading(measurement, 'an image measurement', ({ name, bytes }) => {
    const title = `measurement document ${name}`;
    if (checksums === undefined) return documentReference('document', title, readMeasurementDocument(bytes, name));
    const { document, osImageHash } = readBoundMeasurement({ checksumFile: checksums.bytes, measurement: bytes });
    return documentReference('document', title, document, osImageHash);
  });
  return reference === undefined ? [] : [reference];
}

/** Milliseconds. */
function timeOf(text: string): number {
  if (text === '') return Date.now();
  const time = parseRfc3339(text);
  if (time === undefined) {
    throw new Unusable(`"${text}" is not a time with its zone, such as 2026-01-31T12:00:00Z.`);
  }
  return time;
}

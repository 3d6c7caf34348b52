/** What the options of `verify` and its expectation file demand together. */
import {
  loadDemands,
  loadExpectationFile,
  loadExpectations,
  loadInputs,
  loadSystemFiles,
  loadTcbPolicy,
} from '../verify/verify.ts';

export interface DemandOptions {
  readonly rootCa?: string;
  readonly expect: string[];
  readonly expectFile?: string;
  readonly expectMeasure?: string;
  readonly anyApp?: boolean;
  readonly allowTcb: string[];
  readonly allowUnencryptedStorage?: boolean;
  readonly image?: string;
  readonly imageMeasurement?: string;
  readonly checksumFile?: string;
  readonly vmConfig?: string;
}

/**
 * Reads the files that the options name, and joins everything.
 * @throws INPUT_INVALID (a value, or what contradicts the file), EVIDENCE_UNCHECKED (a file that cannot be used)
 */
export async function demandsOf(options: DemandOptions) {
  const { parseExpectations, parsePrediction } = await loadExpectations();
  const { allowedStatuses } = await loadTcbPolicy();
  const { parseExpectationFile } = await loadExpectationFile();
  const { joinDemands } = await loadDemands();
  const { readDocument, trustAnchor } = await loadInputs();
  const { readSystemReferences, readShape } = await loadSystemFiles();
  const pins = parseExpectations(options.expect);
  const allowed = allowedStatuses(options.allowTcb);
  const { expectFile, expectMeasure, vmConfig } = options;
  const file = expectFile === undefined ? undefined : await readDocument(expectFile, parseExpectationFile);
  const prediction = expectMeasure === undefined ? {} : await readDocument(expectMeasure, parsePrediction);
  const demands = joinDemands({
    ...{ file, pins, allowed, prediction, predictionName: expectMeasure ?? '' },
    anyApp: options.anyApp ?? false,
    allowUnencrypted: options.allowUnencryptedStorage ?? false,
    references: await readSystemReferences(options),
    vmConfig: vmConfig === undefined ? undefined : await readShape(vmConfig),
  });
  return { ...demands, anchor: await trustAnchor(options.rootCa, file) };
}

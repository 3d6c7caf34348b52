/** What the options of `verify` and its expectation file demand together. */
import { DstackError } from '../errors.ts';
import {
  type Expectations,
  loadDemands,
  loadExpectationFile,
  loadExpectations,
  loadInputs,
  loadSystemFiles,
  loadSystemReference,
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
  const { checkDemands, joinExpectations } = await loadDemands();
  const { readDocument, trustAnchor } = await loadInputs();
  const { readSystemReferences, readShape } = await loadSystemFiles();
  const { pinsReference } = await loadSystemReference();
  const given = parseExpectations(options.expect);
  const allowed = allowedStatuses(options.allowTcb);
  const { expectFile, expectMeasure, vmConfig } = options;
  const file = expectFile === undefined ? undefined : await readDocument(expectFile, parseExpectationFile);
  const prediction = expectMeasure === undefined ? {} : await readDocument(expectMeasure, parsePrediction);
  const { events: predicted } = prediction;
  const expect: Expectations = joinExpectations(file?.expect, { ...given, ...(predicted && { predicted }) });
  const anyApp = options.anyApp ?? false;
  const allowUnencrypted = options.allowUnencryptedStorage ?? false;
  checkDemands(file, expect, { anyApp, allowUnencrypted, allowed });
  if (vmConfig !== undefined && file?.vmConfig !== undefined) {
    throw new DstackError(
      'INPUT_INVALID',
      '--vm-config and image.vm_config of the expectation file exclude each other',
      {
        field: '--vm-config',
        value: vmConfig,
      },
    );
  }
  const references = [...(file?.references ?? []), ...(await readSystemReferences(options))];
  if (prediction.system !== undefined) references.push(pinsReference(`prediction ${expectMeasure}`, prediction.system));
  return {
    expect,
    anyApp: anyApp || (file?.anyApp ?? false),
    allowUnencrypted: allowUnencrypted || (file?.allowUnencrypted ?? false),
    allowed: file?.allowed ?? allowed,
    refusedAdvisories: file?.refusedAdvisories,
    anchor: await trustAnchor(options.rootCa, file),
    system: { references, vmConfig: vmConfig === undefined ? file?.vmConfig : await readShape(vmConfig) },
  };
}

/** Everything that is demanded of a guest, joined: an expectation file, pins, a prediction, references, and what loosens. */
import type { VmConfig } from '../config/vm-config.ts';
import { DstackError } from '../errors.ts';
import { checkDemands, joinExpectations, type Loosening } from './demands.ts';
import type { ExpectationFile } from './expectation-file.ts';
import type { Expectations, PinnedPrediction } from './expectations.ts';
import { pinsReference, type SystemReference } from './system-reference.ts';
import type { TcbStatus } from './tcb-policy.ts';

export interface GivenDemands extends Loosening {
  readonly file?: ExpectationFile | undefined;
  readonly pins: Expectations;
  readonly prediction: PinnedPrediction;
  /** for people: where the prediction comes from */
  readonly predictionName: string;
  readonly references: readonly SystemReference[];
  readonly vmConfig?: VmConfig | undefined;
}

/** What `verifyEvidence` is told of the demands. */
export interface JoinedDemands {
  readonly expect: Expectations;
  readonly anyApp: boolean;
  readonly allowUnencrypted: boolean;
  readonly allowed: readonly TcbStatus[];
  readonly refusedAdvisories: readonly string[] | undefined;
  readonly system: { readonly references: readonly SystemReference[]; readonly vmConfig: VmConfig | undefined };
}

/** @throws INPUT_INVALID for what contradicts the file, or would loosen it */
export function joinDemands(given: GivenDemands): JoinedDemands {
  const { file, pins, prediction, vmConfig } = given;
  const { events: predicted } = prediction;
  const expect = joinExpectations(file?.expect, { ...pins, ...(predicted && { predicted }) });
  checkDemands(file, expect, given);
  if (vmConfig !== undefined && file?.vmConfig !== undefined) {
    const what = '--vm-config and image.vm_config of the expectation file exclude each other';
    throw new DstackError('INPUT_INVALID', what, { field: '--vm-config' });
  }
  const references = [...(file?.references ?? []), ...given.references];
  if (prediction.system !== undefined) {
    references.push(pinsReference(`prediction ${given.predictionName}`, prediction.system));
  }
  return {
    expect,
    anyApp: given.anyApp || (file?.anyApp ?? false),
    allowUnencrypted: given.allowUnencrypted || (file?.allowUnencrypted ?? false),
    allowed: file?.allowed ?? given.allowed,
    refusedAdvisories: file?.refusedAdvisories,
    system: { references, vmConfig: vmConfig ?? file?.vmConfig },
  };
}

/** Judging the evidence of confidential VMs of dstack: the code of `dstack-util verify`, for any JavaScript engine. */
export type { Content, Hex } from './bytes.ts';
export { collateralFrom } from './collateral.ts';
export { type CollateralDocument, type EvidenceOptions, type PlatformName, verifyEvidence } from './evidence.ts';
export {
  type KeyChainResult,
  type KeyChainV0,
  type KeyChainV1,
  verifyKeyChainV0,
  verifyKeyChainV1,
} from './key-chain.ts';
export {
  type AppEvent,
  type AppOptions,
  type AppPrediction,
  type ImageOptions,
  type ImagePrediction,
  predictApp,
  predictImage,
  predictMeasurement,
} from './predict.ts';
export type {
  Check,
  FirmwareEvent,
  Outcome,
  Part,
  PartProof,
  Report,
  ReportEvent,
  Root,
  Verdict,
} from './report.ts';
export { VERSION } from './version.ts';

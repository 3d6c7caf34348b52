/** Where evidence comes from: the real device, or canned files for development. The services know only this. */
import type { Attestation, AttestationForm } from '../../tdx/attestation.ts';

/** What GetQuote answers with, beside the report data. */
export interface QuoteAnswer {
  readonly quote: Uint8Array;
  /** JSON text of the event log */
  readonly eventLog: string;
  readonly vmConfig: string;
  /** versioned bytes, made when they are asked for; empty on TDX, where quote and event log say it all */
  readonly attestation: () => Uint8Array;
}

export interface Backend {
  /** `tdx`, or `canned`: evidence that proves nothing */
  readonly kind: 'tdx' | 'canned';
  /** a fresh attestation for 64 bytes of report data */
  attestation(reportData: Uint8Array): Promise<Attestation>;
  /** what GetQuote answers; takes a fresh quote */
  quote(reportData: Uint8Array): Promise<QuoteAnswer>;
  /** what Attest answers: versioned bytes, in the natural form unless another one is asked for */
  attest(reportData: Uint8Array, form?: AttestationForm): Promise<Uint8Array>;
  /**
   * what Info is made of; it may be without a signature and must not be handed out. The same object as before only if
   * everything in it is the same
   */
  identity(): Promise<Attestation>;
  /** measures an event; absent when nothing can be measured */
  readonly emitEvent?: (name: string, payload: Uint8Array) => Promise<void>;
}

/** Report data of GetQuote and Attest: the caller's bytes, zero padded to 64. @throws REPORT_DATA_INVALID */
export { padReportData as paddedReportData } from '../../tdx/report.ts';

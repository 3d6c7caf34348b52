/** Evidence of every form in one shape. */

import type { AppInfo } from '../tdx/app-identity.ts';
import { type Attestation, decodeVersioned } from '../tdx/attestation.ts';
import type { RuntimeEvent } from '../tdx/events.ts';
import { isRuntimeEvent, type TdxEvent } from '../tdx/tdx-event.ts';
import type { Certificate } from '../x509/x509.ts';

export type EvidenceKind = 'quote' | 'answer' | 'attestation' | 'certificate';

/** What an RA-TLS certificate says beside its evidence. */
export interface CertificateFacts {
  /** leaf first; what the PEM text holds beyond the leaf */
  readonly chain: readonly Certificate[];
  readonly leaf: Certificate;
  /** extension .3, 20 bytes */
  readonly appId?: Uint8Array;
  /** extension .4 */
  readonly usage?: string;
  /** extension .9 */
  readonly appInfo?: AppInfo;
}

export interface Evidence {
  readonly kind: EvidenceKind;
  /** the form in words */
  readonly form: string;
  /** absent when the platform is not TDX: then `platform` names it */
  readonly quote?: Uint8Array;
  readonly platform: string;
  /** quote of an SGX enclave: read, but no evidence of a VM */
  readonly sgxQuote?: Uint8Array;
  /** absent when this form carries none */
  readonly eventLog?: readonly TdxEvent[];
  readonly runtimeEvents?: readonly RuntimeEvent[];
  /** the report data stored beside the quote */
  readonly reportData?: Uint8Array;
  /** stack dstack-pod: the text whose hash is the report data */
  readonly reportDataPayload?: string;
  /** vm_config text, empty when there is none */
  readonly config: string;
  /** this form leaves the digests of runtime events out by definition (GetQuote) */
  readonly digestsOmitted: boolean;
  readonly certificate?: CertificateFacts;
}

export function quoteAlone(quote: Uint8Array, form: string): Evidence {
  return { kind: 'quote', form, quote, platform: 'tdx', config: '', digestsOmitted: false };
}

export function sgxQuoteAlone(sgxQuote: Uint8Array, form: string): Evidence {
  return { kind: 'quote', form, sgxQuote, platform: 'sgx', config: '', digestsOmitted: false };
}

/** Versioned attestation bytes. @throws ATTESTATION_INVALID */
export function fromVersioned(bytes: Uint8Array): Evidence {
  const { form, attestation } = decodeVersioned(bytes);
  return fromAttestation(attestation, `attestation ${form}`);
}

export function fromAttestation(attestation: Attestation, form: string): Evidence {
  const { platform, reportData, reportDataPayload, runtimeEvents, config } = attestation;
  const tdx = platform.kind === 'tdx' || platform.kind === 'gcp-tdx';
  return {
    kind: 'attestation',
    form,
    platform: platform.kind,
    ...(tdx ? { quote: platform.quote, eventLog: platform.eventLog } : {}),
    runtimeEvents,
    reportData,
    ...(reportDataPayload === undefined ? {} : { reportDataPayload }),
    config,
    digestsOmitted: false,
  };
}

/** The runtime events inside a complete log, in their order. */
export const runtimeEventsOf = (log: readonly TdxEvent[]): RuntimeEvent[] =>
  log
    .filter((event) => isRuntimeEvent(event) && event.imr === 3)
    .map(({ event, payload, version }) => ({ event, payload, version }));

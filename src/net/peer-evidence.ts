/**
 * Evidence inside a peer's certificate: a quote over the certificate's key, verified as any quote. Cheap checks come
 * first, so that a wrong peer costs no request to the collateral service. Source: dstack keys and certificates, KMS
 * server certificate.
 */

import { ACCEPTABLE_STATUSES, type TcbStatus } from '../config/tcb-status.ts';
import { DstackError } from '../errors.ts';
import { certReportData } from '../keys/report-data.ts';
import { type Attestation, decodeVersioned } from '../tdx/attestation.ts';
import { parseLogJson } from '../tdx/log-json.ts';
import { parseQuote, type TdQuote } from '../tdx/quote-layout.ts';
import { replayRuntime } from '../tdx/replay.ts';
import * as ui from '../ui.ts';
import { INTEL_ROOT_PEM, loadQuoteCheck, runtimeEventsOf } from '../verify/verify.ts';
import { type Certificate, OID, parseCertificate, parsePemCertificate, readExtension } from '../x509/x509.ts';
import { type BootClock, bootClock } from './boot-clock.ts';
import { ANCHOR_DIR, publishedTdxRoot } from './trust-anchors.ts';

/** The TCB status of a peer's platform, and the advisories that led to it. */
export interface PeerPlatform {
  readonly status: string;
  readonly advisories: readonly string[];
}

export interface EvidenceRules {
  /** collateral service, default as `collateralOf` */
  readonly pccs?: string | undefined;
  /** milliseconds since 1970, default what `clock` says */
  readonly now?: number | undefined;
  /** default that of this machine */
  readonly clock?: BootClock | undefined;
  /** where a simulator publishes its roots */
  readonly anchorDir?: string | undefined;
  readonly timeoutMs?: number | undefined;
  /** TCB statuses that are good enough; then evidence must be there. Default: all but `Revoked`, of what evidence there is */
  readonly allowed?: readonly TcbStatus[] | undefined;
  /** told what the platform of an accepted peer is; undefined: it showed no evidence, and none was demanded */
  readonly onJudged?: ((platform: PeerPlatform | undefined) => void) | undefined;
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/**
 * The evidence in a certificate: versioned bytes, or what older peers write, a bare quote with its event log in JSON.
 * @returns undefined when there is none
 * @throws ATTESTATION_INVALID, QUOTE_INVALID, EVENT_LOG_INVALID, CERT_INVALID (quote without its log)
 */
export function evidenceIn(leaf: Pick<Certificate, 'extensions'>): Attestation | undefined {
  const versioned = readExtension(leaf, OID.attestation);
  if (versioned !== undefined) return decodeVersioned(versioned).attestation;
  const quote = readExtension(leaf, OID.legacyQuote);
  if (quote === undefined) return undefined;
  const log = readExtension(leaf, OID.legacyEventLog);
  if (log === undefined) {
    throw new DstackError('CERT_INVALID', 'the certificate has a quote, but no event log', {
      field: OID.legacyEventLog,
    });
  }
  const eventLog = parseLogJson(Buffer.from(log).toString('utf8'));
  return {
    platform: { kind: 'tdx', quote, eventLog },
    reportData: parseQuote(quote).body.reportData,
    runtimeEvents: runtimeEventsOf(eventLog),
    config: '',
  };
}

/**
 * @param spkiDer key of the certificate they were found in
 * @throws ATTESTATION_INVALID, QUOTE_INVALID (damaged, other platforms than TDX), EVIDENCE_MISMATCH (made for another
 *   key), EVIDENCE_INVALID (not genuine, log does not replay), COLLATERAL_*, CLOCK_BEHIND, TRUST_ANCHORS_INVALID
 */
export async function verifyPeerEvidence(
  evidence: Attestation,
  spkiDer: Uint8Array,
  rules: EvidenceRules = {},
): Promise<void> {
  const { platform } = evidence;
  if (platform.kind !== 'tdx') {
    throw new DstackError('ATTESTATION_INVALID', `evidence of platform ${platform.kind} is not supported`, {
      field: 'platform',
      value: platform.kind,
    });
  }
  const quote = parseQuote(platform.quote);
  const { body } = quote;
  const wanted = certReportData(spkiDer);
  if (!equal(body.reportData, wanted) || !equal(evidence.reportData, wanted)) {
    throw new DstackError('EVIDENCE_MISMATCH', 'the evidence of the peer was made for another key', {
      field: 'report_data',
    });
  }
  if (!equal(replayRuntime(evidence.runtimeEvents), body.rtmrs[3])) {
    throw new DstackError('EVIDENCE_INVALID', 'the event log of the peer does not replay to RTMR3 of its quote', {
      field: 'rtmr3',
    });
  }
  await verifyQuote(platform.quote, quote, rules);
}

async function verifyQuote(bytes: Uint8Array, quote: TdQuote, rules: EvidenceRules): Promise<void> {
  const published = await publishedTdxRoot(rules.anchorDir ?? ANCHOR_DIR);
  const [{ checkQuote, checkTd }, source] = await Promise.all([loadQuoteCheck(), import('./fetch-collateral.ts')]);
  const root = published === undefined ? parsePemCertificate(INTEL_ROOT_PEM) : parseCertificate(published);
  const clock = rules.clock ?? bootClock;
  const at = rules.now ?? (await clock.now());
  let notFound: unknown;
  const signed: [number, string][] = [];
  const result = await checkQuote(bytes, quote, {
    root,
    at,
    signed: (date, what) => signed.push([date, what]),
    // without a policy an old platform is only told about, as the deployed guests do it
    allowed: rules.allowed ?? ACCEPTABLE_STATUSES,
    collateral: async () => {
      try {
        const collateral = await source.collateralOf(bytes, { pccs: rules.pccs, timeoutMs: rules.timeoutMs });
        return { collateral, source: source.collateralService(rules.pccs) };
      } catch (thrown) {
        notFound = thrown;
        throw thrown;
      }
    },
  });
  if (notFound !== undefined) throw notFound;
  if (rules.now === undefined) for (const [date, what] of signed) await clock.saw(date, what);
  for (const { name, outcome, detail } of [...result.checks, ...checkTd(quote.body)]) {
    if (outcome === 'pass' || outcome === 'note') continue;
    const code = outcome === 'unknown' ? 'COLLATERAL_INVALID' : 'EVIDENCE_INVALID';
    throw new DstackError(code, `evidence of the peer is refused (${name}): ${detail}`, { field: name });
  }
  const { status = 'unknown', advisories = [] } = result.tcb ?? {};
  if (status !== 'UpToDate') ui.warn(`the platform of the peer is ${status} ${advisories.join(', ')}`.trimEnd());
  rules.onJudged?.({ status, advisories });
}

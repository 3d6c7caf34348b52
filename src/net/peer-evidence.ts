/**
 * Evidence inside a peer's certificate: a quote over the certificate's key, verified as any quote. Cheap checks come
 * first, so that a wrong peer costs no request to the collateral service. Source: dstack keys and certificates, KMS
 * server certificate.
 */
import { DstackError } from '../errors.ts';
import { certReportData } from '../keys/report-data.ts';
import { type Attestation, decodeVersioned } from '../tdx/attestation.ts';
import { parseQuote, type TdQuote } from '../tdx/quote-layout.ts';
import { replayRuntime } from '../tdx/replay.ts';
import * as ui from '../ui.ts';
import { ANCHOR_DIR, publishedTdxRoot } from './trust-anchors.ts';

export interface EvidenceRules {
  /** collateral service, default as `fetchCollateral` */
  readonly pccs?: string | undefined;
  /** milliseconds since 1970, default now */
  readonly now?: number | undefined;
  /** where a simulator publishes its roots */
  readonly anchorDir?: string | undefined;
  readonly timeoutMs?: number | undefined;
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/**
 * @param attestation versioned bytes of the extension
 * @param spkiDer key of the certificate they were found in
 * @throws ATTESTATION_INVALID, QUOTE_INVALID (damaged, other platforms than TDX), EVIDENCE_MISMATCH (made for another
 *   key), EVIDENCE_INVALID (not genuine, log does not replay), COLLATERAL_*, TRUST_ANCHORS_INVALID
 */
export async function verifyPeerEvidence(
  attestation: Uint8Array,
  spkiDer: Uint8Array,
  rules: EvidenceRules = {},
): Promise<Attestation> {
  const decoded = decodeVersioned(attestation).attestation;
  const { platform } = decoded;
  if (platform.kind !== 'tdx') {
    throw new DstackError('ATTESTATION_INVALID', `evidence of platform ${platform.kind} is not supported`, {
      field: 'platform',
      value: platform.kind,
    });
  }
  const quote = parseQuote(platform.quote);
  const { body } = quote;
  const wanted = certReportData(spkiDer);
  if (!equal(body.reportData, wanted) || !equal(decoded.reportData, wanted)) {
    throw new DstackError('EVIDENCE_MISMATCH', 'the evidence of the peer was made for another key', {
      field: 'report_data',
    });
  }
  if (!equal(replayRuntime(decoded.runtimeEvents), body.rtmrs[3])) {
    throw new DstackError('EVIDENCE_INVALID', 'the event log of the peer does not replay to RTMR3 of its quote', {
      field: 'rtmr3',
    });
  }
  await verifyQuote(platform.quote, quote, rules);
  return decoded;
}

async function verifyQuote(bytes: Uint8Array, quote: TdQuote, rules: EvidenceRules): Promise<void> {
  const published = await publishedTdxRoot(rules.anchorDir ?? ANCHOR_DIR);
  const [{ checkQuote, checkTd }, { parseCertificate, parsePemChain }, { allowedStatuses, TCB_STATUSES }, source] =
    await Promise.all([
      import('../verify/quote-check.ts'),
      import('../verify/certificate.ts'),
      import('../verify/tcb-policy.ts'),
      import('./collateral.ts'),
    ]);
  const { INTEL_ROOT_PEM } = await import('../verify/intel-root.ts');
  const root = published === undefined ? parsePemChain(INTEL_ROOT_PEM)[0]! : parseCertificate(published);
  let notFound: unknown;
  const result = await checkQuote(bytes, quote, {
    root,
    at: rules.now ?? Date.now(),
    // an old platform is told about, as the deployed guests do it: only a revoked one is refused
    allowed: allowedStatuses(TCB_STATUSES.filter((status) => status !== 'Revoked')),
    collateral: async () => {
      try {
        const collateral = await source.fetchCollateral(bytes, { pccs: rules.pccs, timeoutMs: rules.timeoutMs });
        return { collateral, source: source.collateralService(rules.pccs) };
      } catch (thrown) {
        notFound = thrown;
        throw thrown;
      }
    },
  });
  if (notFound !== undefined) throw notFound;
  for (const { name, outcome, detail } of [...result.checks, ...checkTd(quote.body)]) {
    if (outcome === 'pass' || outcome === 'note') continue;
    const code = outcome === 'unknown' ? 'COLLATERAL_INVALID' : 'EVIDENCE_INVALID';
    throw new DstackError(code, `evidence of the peer is refused (${name}): ${detail}`, { field: name });
  }
  const { status = 'unknown', advisories = [] } = result.tcb ?? {};
  if (status !== 'UpToDate') ui.warn(`the platform of the peer is ${status} ${advisories.join(', ')}`.trimEnd());
}

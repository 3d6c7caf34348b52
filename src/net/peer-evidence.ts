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
  const { body } = parseQuote(platform.quote);
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
  await verifyQuote(platform.quote, body, rules);
  return decoded;
}

async function verifyQuote(quote: Uint8Array, body: TdQuote['body'], rules: EvidenceRules): Promise<void> {
  const root = await publishedTdxRoot(rules.anchorDir ?? ANCHOR_DIR);
  const [{ fetchCollateral }, { verifyDcap }, { INTEL_ROOT_PEM }, { X509Certificate }] = await Promise.all([
    import('./collateral.ts'),
    import('../verify/dcap.ts'),
    import('../verify/intel-root.ts'),
    import('node:crypto'),
  ]);
  const collateral = await fetchCollateral(quote, {
    pccs: rules.pccs,
    ...(rules.timeoutMs === undefined ? {} : { timeoutMs: rules.timeoutMs }),
  });
  const anchor = root ?? new Uint8Array(new X509Certificate(INTEL_ROOT_PEM).raw);
  try {
    await verifyDcap(quote, collateral, anchor, rules.now ?? Date.now());
  } catch (thrown) {
    throw new DstackError('EVIDENCE_INVALID', 'the quote of the peer does not verify', { cause: thrown });
  }
  if (body.mrSignerSeam.some((byte) => byte !== 0)) {
    throw new DstackError('EVIDENCE_INVALID', 'the TDX module of the peer is not signed by Intel', {
      field: 'mr_signer_seam',
    });
  }
}

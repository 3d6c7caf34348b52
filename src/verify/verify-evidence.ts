/**
 * Offline verification of a guest's evidence (dstack measurement, what remote verifiers check). The order of the checks is
 * the order of trust: first whether the quote is genuine, then what its registers say, then what was expected.
 */

import { toHex } from '../codec/hex.ts';
import { lenientUtf8 } from '../codec/text.ts';
import { DstackError, errorChain } from '../errors.ts';
import { parseLogJson } from '../tdx/log-json.ts';
import { parseQuote, type TdQuote } from '../tdx/quote-layout.ts';
import { withPreimage } from '../tdx/tdx-event.ts';
import { checkAppPin } from './app-pin.ts';
import { checkCertificate, checkReportData } from './binding-check.ts';
import { type Check, ofPart, type PartCheck, unknown, type Verdict, verdictOf } from './check.ts';
import type { EventRow } from './event-rows.ts';
import { type Evidence, runtimeEventsOf } from './evidence-forms.ts';
import { checkExpectations } from './expect-check.ts';
import type { Expectations } from './expectations.ts';
import { type FirmwareRow, firmwareRows } from './firmware-rows.ts';
import { checkMrConfig, decodeIdentity, type Identity } from './identity-check.ts';
import { isIntelRoot } from './intel-root.ts';
import { checkLog } from './log-check.ts';
import { notProven, type Proof, proofOf } from './proof.ts';
import { checkQuote, checkTd, type QuoteCheck, type QuoteCheckOptions } from './quote-check.ts';
import { checkCount, readEvidence } from './recognise.ts';
import { checkSgx } from './sgx-check.ts';
import { checkStorage } from './storage-check.ts';
import { checkSystem, type SystemCheckOptions, type SystemReport } from './system-check.ts';

export interface VerifyOptions extends QuoteCheckOptions {
  readonly expect: Expectations;
  /** event log in JSON for evidence that carries none */
  readonly eventLog?: Uint8Array | undefined;
  /** accept evidence of any app; default false: without a pin of an app the verdict stays open */
  readonly anyApp?: boolean | undefined;
  /** accept a guest whose data disk is not encrypted; default false, unless its event is pinned or predicted */
  readonly allowUnencrypted?: boolean | undefined;
  /** what the operating system is compared with; default what the evidence brings */
  readonly system?: Omit<SystemCheckOptions, 'pinnedHash'> | undefined;
}

export interface VerifyReport {
  readonly verdict: Verdict;
  readonly proof: Proof;
  /** what nobody checked or proved, one sentence each */
  readonly notProven: readonly string[];
  readonly checks: readonly PartCheck[];
  readonly bytes: number;
  readonly evidence?: Evidence;
  readonly quote?: TdQuote;
  readonly quoteCheck?: QuoteCheck;
  readonly identity?: Identity;
  readonly rows: readonly EventRow[];
  /** RTMR0 to RTMR2, where the evidence has a log of them */
  readonly firmware: readonly FirmwareRow[];
  /** absent when nothing tells what the system should be */
  readonly system?: SystemReport;
  /** the first event that is not as expected, in words */
  readonly drift?: string;
}

/** Verifies bytes of any form that `readEvidence` knows. Never throws for what the input holds. */
export async function verifyEvidence(input: Uint8Array, options: VerifyOptions): Promise<VerifyReport> {
  const { expect } = options;
  const judged = (checks: readonly PartCheck[], rest: Partial<VerifyReport> = {}): VerifyReport => {
    const base = { rows: [], firmware: [], ...rest };
    const report = { ...base, verdict: verdictOf(checks), checks, bytes: input.length };
    const facts = { ...report, expect, root: { name: options.root.commonName, intel: isIntelRoot(options.root.der) } };
    const proof = proofOf(facts);
    return { ...report, proof, notProven: notProven(proof, facts) };
  };
  let evidence: Evidence;
  let quote: TdQuote;
  try {
    evidence = withLog(readEvidence(input), options.eventLog);
    if (evidence.sgxQuote !== undefined) {
      return judged(ofPart('machine', checkSgx(evidence.sgxQuote, options)), { evidence });
    }
    if (evidence.quote === undefined) {
      const check = unknown('platform', `evidence of platform ${evidence.platform} cannot be checked here`);
      return judged(ofPart('machine', [check]), { evidence });
    }
    quote = parseQuote(evidence.quote);
    noTrailer(evidence.quote, quote);
  } catch (thrown) {
    // what cannot be read is no evidence against anybody
    return judged(ofPart('input', [unknown('input', errorChain(thrown))]));
  }
  const { body } = quote;
  const quoteCheck = await checkQuote(evidence.quote, quote, options);
  const log = checkLog(evidence, body, expect);
  const { checks: identityChecks, identity } = decodeIdentity(evidence, quoteCheck.platform);
  const verified = quoteCheck.platform !== undefined;
  const genuine = [...quoteCheck.checks, ...checkTd(body)];
  const system = checkSystem(evidence, body, {
    references: [],
    ...options.system,
    pinnedHash: expect.values.get('os-image-hash'),
  });
  const tpm = unknown('platform', `the TPM quote of ${evidence.platform} is not checked here`);
  const checks = [
    ...ofPart('machine', [...genuine, ...(evidence.platform === 'tdx' ? [] : [tpm])]),
    ...ofPart('fresh', checkReportData(evidence, body)),
    ...ofPart('app', evidence.certificate ? checkCertificate(evidence.certificate, body, identity, options.at) : []),
    ...log.checks.flatMap((check) => ofPart(check.name === 'firmware-replay' ? 'system' : 'app', [check])),
    ...ofPart('system', system.checks),
    ...ofPart('app', [
      ...checkStorage(log.rows, options.allowUnencrypted ?? false),
      ...identityChecks,
      ...(identity === undefined ? [] : [checkMrConfig(body, evidence, identity)]),
    ]),
    ...checkExpectations(
      ...([expect, body, identity, evidence.runtimeEvents && log.rows, verified] as const),
      provenImage(system.report),
    ),
  ];
  return judged([...checks, ...ofPart('app', [checkAppPin(expect, checks, identity, options.anyApp ?? false)])], {
    evidence,
    quote,
    quoteCheck,
    rows: log.rows,
    firmware: firmwareRows(evidence.eventLog ?? [], system.report?.expected),
    ...(identity === undefined ? {} : { identity }),
    ...(system.report === undefined ? {} : { system: ofGenuine(system.report, genuine) }),
    ...(log.drift === undefined ? {} : { drift: log.drift }),
  });
}

/** Adds the event log of another file, for example of `dstack-util eventlog`, which has no preimages. */
function withLog(evidence: Evidence, log: Uint8Array | undefined): Evidence {
  if (log === undefined) return evidence;
  if (evidence.runtimeEvents !== undefined) {
    throw new DstackError('EVIDENCE_INVALID', `the ${evidence.form} carries an event log of its own`);
  }
  const eventLog = parseLogJson(lenientUtf8(log)).map(withPreimage);
  checkCount(eventLog.length);
  return { ...evidence, eventLog, runtimeEvents: runtimeEventsOf(eventLog), digestsOmitted: true };
}

/** Quoting services pad with zeros; anything else behind the quote is nothing a verifier should pass over. */
function noTrailer(bytes: Uint8Array, quote: TdQuote): void {
  const rest = bytes.subarray(quote.signedLength + 4 + quote.authData.length);
  if (rest.some((byte) => byte !== 0)) {
    throw new DstackError('EVIDENCE_INVALID', `${rest.length} bytes of unknown content follow the quote`);
  }
}

/** Registers that an impostor wrote prove nothing, whatever they are. */
function ofGenuine(report: SystemReport, genuine: readonly Check[]): SystemReport {
  const verdict = verdictOf(genuine);
  if (verdict === 'valid' || report.verdict === 'refused') return report;
  return { ...report, verdict: verdict === 'invalid' ? 'refused' : 'unchecked' };
}

const provenImage = ({ verdict, reference }: Partial<SystemReport> = {}): string | undefined =>
  verdict === 'proven' && reference?.osImageHash !== undefined ? toHex(reference.osImageHash) : undefined;

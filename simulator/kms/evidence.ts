/**
 * Whom the development KMS is talking to. The evidence in the guest's certificate is verified as a production KMS does it,
 * except that the root of trust is the simulator's: quote, debug bit, report data, replay of RTMR3 (dstack measurement, remote
 * verifiers).
 */
import { X509Certificate } from 'node:crypto';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { type AppInfo, decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { type Attestation, decodeVersioned, tdxEventLog, tdxQuote } from '../../src/tdx/attestation.ts';
import { eventDigest, preimage } from '../../src/tdx/events.ts';
import { parseQuote, type TdQuoteBody } from '../../src/tdx/quote-layout.ts';
import { replayRuntime } from '../../src/tdx/replay.ts';
import { verifyDcap } from '../../src/verify/dcap.ts';
import { OID, readExtension, toPem } from '../../src/x509/x509.ts';
import { mockCollateral } from '../mock-collateral.ts';
import type { MockPki } from '../pki.ts';
import { requireKnownImage } from './known-image.ts';
import type { KmsService } from './service.ts';

const refuse = (why: string, cause?: unknown): DstackError => new DstackError('ATTESTATION_INVALID', why, { cause });

/** What evidence is judged by. */
export type Judge = Pick<KmsService, 'pki' | 'images'>;

/** Bit 0 of the first byte: the TD can be debugged, so it keeps no secret. */
const DEBUG = 1;

/**
 * The identity in the certificate a guest shows.
 * @param certificate DER, signed by the temporary CA (which proves nothing: everybody has its key)
 * @throws ATTESTATION_INVALID, QUOTE_INVALID, CERT_INVALID, REQUIREMENT_UNMET (OS image)
 */
export async function identifyPeer(certificate: Uint8Array, judge: Judge, vmConfig: string): Promise<AppInfo> {
  const bytes = readExtension(certificate, OID.attestation);
  if (bytes === undefined) throw refuse('no attestation provided');
  const spki = certificateOf(certificate).publicKey.export({ format: 'der', type: 'spki' });
  return identify(decodeVersioned(bytes).attestation, spki, judge, vmConfig);
}

/**
 * A certificate from its DER. Not by handing the bytes to the class: it looks for PEM text first, and finds it in the
 * quote, which holds the chain of the platform.
 */
export const certificateOf = (der: Uint8Array): X509Certificate => new X509Certificate(toPem('CERTIFICATE', der));

/** The identity behind evidence that must vouch for this key. */
export async function identify(
  attestation: Attestation,
  spkiDer: Uint8Array,
  { pki, images }: Judge,
  vmConfig: string,
): Promise<AppInfo> {
  const body = await verifiedBody(tdxQuote(attestation), pki);
  const { tdAttributes, mrSignerSeam, reportData, rtmrs } = body;
  if (mrSignerSeam.some((byte) => byte !== 0)) throw refuse('the TDX module is not one of Intel');
  if (((tdAttributes[0] ?? 0) & DEBUG) !== 0) throw refuse('the TD is in debug mode');
  const same = (a: Uint8Array, b: Uint8Array): boolean => toHex(a) === toHex(b);
  if (!same(attestation.reportData, reportData)) throw refuse('the report data is not that of the quote');
  if (!same(certReportData(spkiDer), reportData)) throw refuse('the quote does not vouch for this key');
  if (!same(replayRuntime(attestation.runtimeEvents), rtmrs[3])) throw refuse('the events do not replay to RTMR3');
  checkPreimages(attestation);
  if (images !== undefined) requireKnownImage(images, body, attestation, vmConfig || attestation.config);
  return decodeAppInfo(attestation, { boottime: true, vmConfig });
}

async function verifiedBody(quote: Uint8Array, pki: MockPki): Promise<TdQuoteBody> {
  let status: string;
  try {
    ({ status } = await verifyDcap(quote, mockCollateral(pki), pki.root, Date.now()));
  } catch (thrown) {
    throw refuse('the quote does not verify', thrown);
  }
  if (status !== 'UpToDate') throw refuse(`the platform of the quote is ${status}`);
  return parseQuote(quote).body;
}

/** Events of version 2 must carry what was hashed, so that a reader needs no rule of this project to check them. */
function checkPreimages(attestation: Attestation): void {
  for (const event of tdxEventLog(attestation)) {
    if (event.version !== 2) continue;
    const name = JSON.stringify(event.event);
    const wanted = { event: event.event, payload: event.payload, version: 2 } as const;
    if (event.preimage !== toHex(preimage(wanted))) throw refuse(`event ${name} has no preimage`);
    if (toHex(event.digest) !== toHex(eventDigest(wanted))) throw refuse(`event ${name} has another digest`);
  }
}

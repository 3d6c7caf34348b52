/** Quotes of SGX enclaves, version 3 (Intel SGX DCAP ECDSA quote library): who the sealing key provider of a host is. */
import { cut } from '../codec/bytes.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJson } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';
import { fromPem } from '../x509/x509.ts';
import type { SignedDate } from './collateral-check.ts';
import type { Collateral } from './collateral-format.ts';
import { verifyDcap } from './dcap.ts';
import { INTEL_ROOT_PEM } from './intel-root.ts';
import { validity } from './tcb-info.ts';

/** What the quote says of the enclave; believed only after verification. */
export interface SgxReport {
  /** 32 bytes: the code of the enclave */
  readonly mrEnclave: Uint8Array;
  /** 64 bytes */
  readonly reportData: Uint8Array;
}

const VERSION = 3;
/** header, then the report body of 384 bytes */
const MR_ENCLAVE = 48 + 64;
const REPORT_DATA = 48 + 320;
const BODY_END = 48 + 384;

export interface SgxRules {
  readonly collateral: Collateral;
  /** DER; default Intel's */
  readonly rootCa?: Uint8Array | undefined;
  /** milliseconds since 1970 */
  readonly now: number;
  /** told the date of the TCB info (milliseconds) once it is known to be Intel's */
  readonly signed?: SignedDate | undefined;
}

/** What a quote says, unverified. @throws QUOTE_INVALID for anything but an SGX quote of version 3 */
export function parseSgxQuote(quote: Uint8Array): SgxReport {
  const view = new DataView(quote.buffer, quote.byteOffset, quote.byteLength);
  if (quote.length < BODY_END || view.getUint16(0, true) !== VERSION || view.getUint32(4, true) !== 0) {
    throw new DstackError('QUOTE_INVALID', 'the quote of the sealing key provider is not an SGX quote of version 3', {
      field: 'provider_quote',
      value: quote.length,
    });
  }
  return {
    mrEnclave: cut(quote, MR_ENCLAVE, MR_ENCLAVE + 32),
    reportData: cut(quote, REPORT_DATA, REPORT_DATA + 64),
  };
}

function issueDate(tcbInfo: string): number {
  const path = 'tcb_info';
  return validity(new Fields(parseStrictJson(tcbInfo, path), { path })).issued;
}

/**
 * Verifies an SGX quote. Debuggable enclaves and revoked platforms are refused; a platform that is merely not up to date
 * is told, as the reference accepts it.
 * @throws QUOTE_INVALID (no SGX quote), EVIDENCE_INVALID (does not verify)
 */
export async function verifySgxQuote(quote: Uint8Array, rules: SgxRules): Promise<SgxReport> {
  const report = parseSgxQuote(quote);
  const root = rules.rootCa ?? fromPem(INTEL_ROOT_PEM, 'CERTIFICATE');
  try {
    const { status } = await verifyDcap(quote, rules.collateral, root, rules.now);
    rules.signed?.(issueDate(rules.collateral.tcb_info), 'the TCB info');
    if (status !== 'UpToDate') ui.warn(`the platform of the sealing key provider is ${status}`);
  } catch (thrown) {
    throw new DstackError('EVIDENCE_INVALID', 'the quote of the sealing key provider does not verify', {
      field: 'provider_quote',
      cause: thrown,
    });
  }
  return report;
}

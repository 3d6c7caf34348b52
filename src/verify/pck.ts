/**
 * The PCK certificate of a quote: which processor signed it, and what its SGX extension says about that platform (Intel
 * SGX PCK Certificate and CRL Profile Specification, extension `OID.sgx`).
 */

import { toHex } from '../codec/hex.ts';
import { latin1 } from '../codec/text.ts';
import { DstackError } from '../errors.ts';
import type { TdQuote } from '../tdx/quote-layout.ts';
import { type Certificate, DerReader, OID, parsePemChain } from '../x509/x509.ts';

export interface PckPlatform {
  /** leaf first */
  readonly chain: readonly Certificate[];
  /** hex, 6 bytes */
  readonly fmspc: string;
  /** hex, 2 bytes */
  readonly pceId: string;
  /** 16 bytes: the identity of the processor package */
  readonly ppid: Uint8Array;
  /** which of Intel's two PCK CAs issued it */
  readonly ca: 'processor' | 'platform';
}

const QE_REPORT_CERTIFICATION = 6;
const PCK_CHAIN = 5;
/** signature and attestation key */
const SIGNATURE_SIZE = 64 + 64;
const QE_REPORT_SIZE = 384 + 64;

/**
 * The PCK chain a quote carries, in PEM.
 * @throws QUOTE_INVALID, also for the certification data types that carry no chain
 */
export function pckChainText(quote: TdQuote): string {
  const { authData } = quote;
  const view = new DataView(authData.buffer, authData.byteOffset, authData.byteLength);
  const refuse = (why: string) => new DstackError('QUOTE_INVALID', `certification data of the quote ${why}`);
  try {
    const outer = view.getUint16(SIGNATURE_SIZE, true);
    if (outer !== QE_REPORT_CERTIFICATION) throw refuse(`has type ${outer}, not ${QE_REPORT_CERTIFICATION}`);
    const authAt = SIGNATURE_SIZE + 6 + QE_REPORT_SIZE;
    const at = authAt + 2 + view.getUint16(authAt, true);
    const inner = view.getUint16(at, true);
    const length = view.getUint32(at + 2, true);
    if (inner !== PCK_CHAIN) throw refuse(`has type ${inner}: the quote carries no PCK certificate chain`);
    if (at + 6 + length > authData.length) throw refuse('runs past the end');
    return latin1(authData.subarray(at + 6, at + 6 + length));
  } catch (thrown) {
    if (thrown instanceof RangeError) throw refuse('runs past the end');
    throw thrown;
  }
}

/** Reads the platform from its PCK chain (leaf first, PEM). @throws CERT_INVALID */
export function readPlatform(chainText: string): PckPlatform {
  const chain = parsePemChain(chainText, true);
  const [leaf, issuer] = chain;
  const extension = leaf?.extensions.get(OID.sgx);
  if (extension === undefined || issuer === undefined) {
    throw new DstackError('CERT_INVALID', 'the quote is not signed under a PCK certificate of Intel’s form');
  }
  try {
    const values = readSgx(extension);
    const value = (id: string, size: number): Uint8Array => {
      const found = values.get(`${OID.sgx}.${id}`);
      if (found?.length !== size) throw new DstackError('CERT_INVALID', `SGX extension .${id} has not ${size} bytes`);
      return found;
    };
    return {
      chain,
      ppid: value('1', 16),
      pceId: toHex(value('3', 2)),
      fmspc: toHex(value('4', 6)),
      ca: issuer.commonName.includes('Processor') ? 'processor' : 'platform',
    };
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'the SGX extension of the PCK certificate cannot be read', { cause: thrown });
  }
}

/** The members of the extension: SEQUENCE of SEQUENCE { OID, value }. */
function readSgx(extension: Uint8Array): Map<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  const list = new DerReader(extension).enter();
  while (list.more) {
    const entry = list.enter();
    const oid = entry.oid();
    if (values.has(oid)) throw new DstackError('CERT_INVALID', `SGX extension ${oid} occurs twice`);
    values.set(oid, entry.next().content);
    entry.end();
  }
  return values;
}

/** Which platform a quote is of, as the collateral service wants to know it. Source: Intel SGX PCK certificate profile. */
import { X509Certificate } from 'node:crypto';
import { DstackError } from '../errors.ts';

export interface PckPlatform {
  /** 6 bytes as upper-case hex */
  readonly fmspc: string;
  readonly ca: 'platform' | 'processor';
  readonly tee: 'sgx' | 'tdx';
}

/** OID 1.2.840.113741.1.13.1.4 and the head of its OCTET STRING of 6 bytes */
const FMSPC = Buffer.from('060a2a864886f84d010d01040406', 'hex');

/**
 * Reads the PCK certificate inside a quote. Nothing of it is checked here: a wrong answer only fetches collateral that
 * does not fit. @throws QUOTE_INVALID for a quote without its PCK chain
 */
export function pckPlatform(quote: Uint8Array): PckPlatform {
  const invalid = (why: string, cause?: unknown) =>
    new DstackError('QUOTE_INVALID', `quote ${why}`, { field: 'pck_certificate_chain', cause });
  const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/.exec(Buffer.from(quote).toString('latin1'));
  if (pem === null) throw invalid('carries no PCK certificate chain');
  let pck: X509Certificate;
  try {
    pck = new X509Certificate(pem[0]);
  } catch (thrown) {
    throw invalid('carries a damaged PCK certificate', thrown);
  }
  const at = pck.raw.indexOf(FMSPC);
  if (at < 0) throw invalid('has a PCK certificate without FMSPC');
  const start = at + FMSPC.length;
  return {
    fmspc: pck.raw
      .subarray(start, start + 6)
      .toString('hex')
      .toUpperCase(),
    ca: /Platform/i.test(pck.issuer) ? 'platform' : 'processor',
    tee: quote[4] === 0x81 ? 'tdx' : 'sgx',
  };
}

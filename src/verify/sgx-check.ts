/**
 * Quotes of SGX enclaves: their signatures are judged, which tells a spoiled one from a whole one. What they prove is another
 * thing than what is asked here, so that none of them is ever valid evidence of a confidential VM.
 */
import { toHex } from '../codec/hex.ts';
import { sha256 } from '../crypto/hash.ts';
import { p256PublicKey } from '../crypto/p256.ts';
import { errorChain } from '../errors.ts';
import { checkChain, publicKeyOf } from '../x509/x509.ts';
import { type Check, fail, pass, unknown } from './check.ts';
import { readPlatform } from './pck.ts';
import type { QuoteCheckOptions } from './quote-check.ts';
import { parseSgxLayout, type SgxQuote } from './sgx-layout.ts';

const QE_REPORT_DATA = 320;

/** Never throws for what the quote holds. */
export function checkSgx(bytes: Uint8Array, { root, at }: Pick<QuoteCheckOptions, 'root' | 'at'>): Check[] {
  let quote: SgxQuote;
  try {
    quote = parseSgxLayout(bytes);
  } catch (thrown) {
    return [unknown('input', errorChain(thrown))];
  }
  const checks: Check[] = [];
  try {
    const { chain } = readPlatform(quote.pckChain);
    checkChain(chain, { root, at, inOrder: true });
    const why = spoiled(quote, chain[0]?.spki ?? new Uint8Array());
    checks.push(
      why === undefined
        ? pass('sgx-signature', `its signatures lead to ${root.commonName}`)
        : fail('sgx-signature', why),
    );
  } catch (thrown) {
    checks.push(fail('sgx-signature', errorChain(thrown)));
  }
  const enclave = `MRENCLAVE ${toHex(quote.mrEnclave)}${quote.debug ? ', which can be debugged' : ''}`;
  const what = 'it says nothing of a VM, and neither its TCB status nor its enclave is judged here';
  return [...checks, unknown('platform', `this is the quote of an SGX enclave (${enclave}): ${what}`)];
}

/** What does not hold in the quote, in words. @param pck SubjectPublicKeyInfo @throws CERT_INVALID */
function spoiled(quote: SgxQuote, pck: Uint8Array): string | undefined {
  if (!publicKeyOf(pck).verify(quote.qeReport, quote.qeSignature)) {
    return 'the report of the quoting enclave is not signed by its platform';
  }
  const digest = sha256(Uint8Array.from([...quote.attestationKey, ...quote.qeAuthData]));
  if (toHex(quote.qeReport.subarray(QE_REPORT_DATA, QE_REPORT_DATA + 32)) !== toHex(digest)) {
    return 'the quoting enclave did not vouch for the attestation key';
  }
  const key = p256PublicKey(Uint8Array.from([4, ...quote.attestationKey]));
  return key?.verify(quote.signed, quote.signature) ? undefined : 'the attestation key did not sign it';
}

/** Standard DCAP verification of a simulated quote, against the simulator's root certificate and collateral. */
import { QuoteVerifier } from '@phala/dcap-qvl';
import { mockCollateral } from '../../simulator/mock-collateral.ts';
import { DEVELOPMENT_SEED } from '../../simulator/mock-keys.ts';
import { mockPki } from '../../simulator/pki.ts';

export interface TdReport {
  readonly reportData: Uint8Array;
  readonly rtMr3: Uint8Array;
}

/** Throws unless the quote verifies with status UpToDate. */
export function verifyMockQuote(quote: Uint8Array): TdReport {
  const pki = mockPki(Buffer.from(DEVELOPMENT_SEED, 'hex'));
  const verifier = QuoteVerifier.newWithRootCa(Buffer.from(pki.root));
  const verified = verifier.verify(Buffer.from(quote), mockCollateral(pki), Math.floor(Date.now() / 1000));
  if (verified.status !== 'UpToDate') throw new Error(`quote verifies as ${verified.status}`);
  const report = verified.report.asTd10();
  if (!report) throw new Error('the quote holds no TD report');
  return report;
}

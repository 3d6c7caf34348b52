/** Standard DCAP verification by @phala/dcap-qvl, loaded when the first quote is judged. */
// the library computes with them; without Node the package of that name stands for it
import { Buffer } from 'node:buffer';
import type { Collateral } from './collateral-format.ts';

/** What the library says of a quote it accepts. */
export interface DcapResult {
  /** the worse of platform and quoting enclave; the TDX module's own level is judged apart */
  readonly status: string;
  readonly advisoryIds: readonly string[];
}

type Library = Pick<typeof import('@phala/dcap-qvl'), 'QuoteVerifier'>;

let loaded: Promise<Library> | undefined;

/** The verifier alone: the package's face also loads an HTTP client. */
function library(): Promise<Library> {
  loaded ??= import('@phala/dcap-qvl/src/verify.js').then((module) => module.default);
  return loaded;
}

/**
 * Verifies signatures, chains, TCB level and TD attributes of a quote.
 * @param rootDer trust anchor
 * @param at milliseconds
 * @throws the library's own errors: plain sentences, the quote is then refused
 */
export async function verifyDcap(
  quote: Uint8Array,
  collateral: Collateral,
  rootDer: Uint8Array,
  at: number,
): Promise<DcapResult> {
  const { QuoteVerifier } = await library();
  const verifier = QuoteVerifier.newWithRootCa(Buffer.from(rootDer));
  const { status, advisory_ids } = verifier.verify(Buffer.from(quote), collateral, Math.floor(at / 1000));
  return { status, advisoryIds: advisory_ids };
}

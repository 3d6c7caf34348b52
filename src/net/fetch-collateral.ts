/** DCAP collateral for a quote, from the service that .sys-config.json names (dstack services, collateral endpoints). */
import { DstackError } from '../errors.ts';
import { type Collateral, fetchCollateral, INTEL_ROOT_PEM, readPlatform } from '../verify/verify.ts';
import { parsePemCertificate, pemSpan } from '../x509/x509.ts';

/** The service used when collateral_urls.pccs is empty. */
export const DEFAULT_PCCS = 'https://pccs.phala.network';
const TIMEOUT_MS = 30_000;
/** offset of the TEE type in the header of quotes of every version, and its value for TDX */
const TEE_TYPE_OFFSET = 4;
const TEE_TYPE_TDX = 0x81;

export interface CollateralOptions {
  /** base URL, with or without `/sgx/certification/v4`; empty = `DEFAULT_PCCS` */
  readonly pccs?: string | undefined;
  /** for all requests together, default 30 000 */
  readonly timeoutMs?: number | undefined;
}

/**
 * Fetches what is needed to verify a TDX or SGX quote. Nothing of it is judged here.
 * @throws CONFIG_INVALID (address), QUOTE_INVALID (no PCK chain inside), COLLATERAL_UNAVAILABLE
 */
export async function collateralOf(quote: Uint8Array, options: CollateralOptions = {}): Promise<Collateral> {
  const base = collateralService(options.pccs);
  const root = parsePemCertificate(INTEL_ROOT_PEM);
  return fetchCollateral(base, platformOf(quote), root, {
    tee: quote[TEE_TYPE_OFFSET] === TEE_TYPE_TDX ? 'tdx' : 'sgx',
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
  });
}

/** The base URL of the service. @throws CONFIG_INVALID */
export function collateralService(pccs: string | undefined): string {
  const text = (pccs ?? '').trim() || DEFAULT_PCCS;
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new DstackError('CONFIG_INVALID', `collateral_urls.pccs ${JSON.stringify(text)} is not an http(s) URL`, {
    field: 'collateral_urls.pccs',
    value: text,
  });
}

/** The chain is text inside the quote, at a place that depends on its version. */
function platformOf(quote: Uint8Array) {
  const chain = pemSpan(Buffer.from(quote).toString('latin1'), 'CERTIFICATE');
  try {
    return readPlatform(chain ?? '');
  } catch (thrown) {
    throw new DstackError('QUOTE_INVALID', 'quote carries no PCK certificate chain', {
      field: 'pck_certificate_chain',
      cause: thrown,
    });
  }
}

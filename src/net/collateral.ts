/**
 * Fetching DCAP collateral from a PCCS or from Intel (PCS API v4). Nothing of it is believed before
 * its signatures have been checked, so plain HTTP is allowed; sizes and time are limited.
 */
import { X509Certificate } from 'node:crypto';
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { duration } from '../ui.ts';
import { type Collateral, parseCollateral } from '../verify/collateral.ts';
import { pckPlatform } from './pck-platform.ts';

/** The service used when collateral_urls.pccs is empty. */
export const DEFAULT_PCCS = 'https://pccs.phala.network';
const INTEL_PCS = 'https://api.trustedservices.intel.com';
const TIMEOUT_MS = 30_000;
const MAX_BYTES = 1024 * 1024;

export interface FetchOptions {
  /** base URL, with or without `/sgx/certification/v4`; default `DEFAULT_PCCS` */
  readonly pccs?: string | undefined;
  /** for all requests together, default 30 000 */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Fetches what is needed to verify `quote`.
 * @throws QUOTE_INVALID (no PCK chain inside), CONFIG_INVALID (address), COLLATERAL_UNAVAILABLE, COLLATERAL_INVALID
 */
export async function fetchCollateral(quote: Uint8Array, options: FetchOptions = {}): Promise<Collateral> {
  const { fmspc, ca, tee } = pckPlatform(quote);
  const base = serviceBase(options.pccs);
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const limit = AbortSignal.timeout(timeoutMs);
  const signal = options.signal ? AbortSignal.any([limit, options.signal]) : limit;
  const get = (path: string) => download(`${base}/${path}`, signal, timeoutMs);
  const [pckCrl, tcb, qe] = await Promise.all([
    get(`sgx/certification/v4/pckcrl?ca=${ca}&encoding=der`),
    get(`${tee}/certification/v4/tcb?fmspc=${fmspc}`),
    get(`${tee}/certification/v4/qe/identity?update=standard`),
  ]);
  const qeChain = chainHeader(qe, 'SGX-Enclave-Identity-Issuer-Chain');
  const tcbInfo = signedPart(tcb, 'tcbInfo');
  const identity = signedPart(qe, 'enclaveIdentity');
  const document = {
    pck_crl_issuer_chain: chainHeader(pckCrl, 'SGX-PCK-CRL-Issuer-Chain'),
    root_ca_crl: await rootCrl(base, qeChain, get, (url) => download(url, signal, timeoutMs)),
    pck_crl: toHex(pckCrl.body),
    tcb_info_issuer_chain: chainHeader(tcb, 'SGX-TCB-Info-Issuer-Chain', 'TCB-Info-Issuer-Chain'),
    tcb_info: tcbInfo.text,
    tcb_info_signature: tcbInfo.signature,
    qe_identity_issuer_chain: qeChain,
    qe_identity: identity.text,
    qe_identity_signature: identity.signature,
  };
  return parseCollateral(Buffer.from(JSON.stringify(document)), base);
}

function serviceBase(pccs: string | undefined): string {
  const text = (pccs ?? '').trim() || DEFAULT_PCCS;
  const known = URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
  if (!known) {
    throw new DstackError('CONFIG_INVALID', `collateral_urls.pccs ${JSON.stringify(text)} is not an http(s) URL`, {
      field: 'collateral_urls.pccs',
      value: text,
    });
  }
  return text.replace(/\/+$/, '').replace(/\/(sgx|tdx)\/certification\/v4$/, '');
}

interface Download {
  readonly url: string;
  readonly body: Uint8Array;
  readonly headers: Headers;
}

async function download(url: string, signal: AbortSignal, timeoutMs: number): Promise<Download> {
  try {
    const response = await fetch(url, { signal, redirect: 'error' });
    const chunks: Uint8Array[] = [];
    let total = 0;
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk as Uint8Array);
      total += (chunk as Uint8Array).length;
      if (total > MAX_BYTES) throw new Error(`more than ${MAX_BYTES} bytes`);
    }
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    return { url, body: new Uint8Array(Buffer.concat(chunks)), headers: response.headers };
  } catch (thrown) {
    const why = signal.aborted ? `did not answer within ${duration(timeoutMs)}` : 'cannot be fetched';
    throw new DstackError('COLLATERAL_UNAVAILABLE', `${url} ${why}`, { value: url, cause: thrown });
  }
}

const invalid = (url: string, why: string): DstackError =>
  new DstackError('COLLATERAL_INVALID', `${url} ${why}`, { value: url });

/** A PEM chain, percent-encoded in a header. */
function chainHeader({ url, headers }: Download, ...names: readonly string[]): string {
  const value = names.map((name) => headers.get(name)).find((text) => text !== null);
  if (value === undefined || value === null) throw invalid(url, `answered without header ${names[0]}`);
  try {
    return decodeURIComponent(value);
  } catch {
    throw invalid(url, `answered with a damaged header ${names[0]}`);
  }
}

/** The member that is signed, as the text that was signed: compact JSON in the order of the answer. */
function signedPart({ url, body }: Download, member: string): { text: string; signature: string } {
  try {
    const document = JSON.parse(Buffer.from(body).toString('utf8')) as Record<string, unknown>;
    const { signature } = document;
    if (typeof document[member] === 'object' && typeof signature === 'string') {
      return { text: JSON.stringify(document[member]), signature };
    }
  } catch {
    // told below
  }
  throw invalid(url, `answered with JSON without ${member} and signature`);
}

/** The list of the root: a PCCS has it as hex text, Intel names its address in the root certificate. */
async function rootCrl(
  base: string,
  qeChain: string,
  get: (path: string) => Promise<Download>,
  fetchUrl: (url: string) => Promise<Download>,
): Promise<string> {
  if (base !== INTEL_PCS)
    return Buffer.from((await get('sgx/certification/v4/rootcacrl')).body)
      .toString('latin1')
      .trim();
  const root = qeChain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)?.at(-1) ?? '';
  const address = /https?:\/\/[\x21-\x7e]+?\.der/.exec(Buffer.from(new X509Certificate(root).raw).toString('latin1'));
  if (address === null) throw invalid(base, 'names no revocation list of its root');
  return toHex((await fetchUrl(address[0])).body);
}

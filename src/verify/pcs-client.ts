/**
 * Fetches collateral from Intel's PCS or a PCCS (Intel PCS API v4; the PCCS adds `rootcacrl` as hex text). Answers are
 * bounded and not trusted: whatever comes is checked like any other collateral.
 */

import { EMPTY_BYTES, joinBytes } from '../codec/bytes.ts';
import { fromHex, toHex } from '../codec/hex.ts';
import { latin1, lenientUtf8 } from '../codec/text.ts';
import { DstackError } from '../errors.ts';
import { type Certificate, OID } from '../x509/x509.ts';
import type { Collateral } from './collateral-format.ts';
import type { PckPlatform } from './pck.ts';

const TIMEOUT_MS = 20_000;
const BODY_LIMIT = 1024 * 1024;

interface Answer {
  readonly body: Uint8Array;
  readonly headers: Headers;
}

const unavailable = (url: string, why: string, cause?: unknown): DstackError =>
  new DstackError('COLLATERAL_UNAVAILABLE', `${url}: ${why}`, { field: 'collateral', value: url, cause });

async function get(url: string, signal: AbortSignal): Promise<Answer> {
  let response: Response;
  try {
    response = await fetch(url, { signal, redirect: 'error' });
    if (!response.ok) throw unavailable(url, `status ${response.status}`);
    return { body: await bounded(response, url), headers: response.headers };
  } catch (thrown) {
    if (thrown instanceof DstackError) throw thrown;
    throw unavailable(url, 'no answer', thrown);
  }
}

async function bounded(response: Response, url: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw unavailable(url, `the answer is larger than ${BODY_LIMIT} bytes`);
    chunks.push(chunk);
  }
  return joinBytes(chunks);
}

/** A header with a URL-encoded PEM chain, under the first of its names that is there. */
function chainOf({ headers }: Answer, url: string, ...names: string[]): string {
  const value = names.map((name) => headers.get(name)).find((text) => text !== null);
  if (value === undefined || value === null) throw unavailable(url, `the answer lacks the header ${names[0]}`);
  try {
    return decodeURIComponent(value);
  } catch (thrown) {
    throw unavailable(url, `header ${names[0]} is not URL-encoded`, thrown);
  }
}

/** DER, or the hex text of it. */
function derHex({ body }: Answer, url: string): string {
  if (body[0] === 0x30 && (body[1] ?? 0) >= 0x80) return toHex(body);
  try {
    return toHex(fromHex(latin1(body).trim()));
  } catch (thrown) {
    throw unavailable(url, 'the answer is neither DER nor hex text', thrown);
  }
}

/** The signed member as the text that was signed, and its signature. */
function signedPart({ body }: Answer, url: string, member: string): { text: string; signature: string } {
  try {
    const document = JSON.parse(lenientUtf8(body)) as Record<string, unknown>;
    const { signature } = document;
    if (typeof document[member] === 'object' && typeof signature === 'string') {
      // both services send the signed text compact and in its order, which a JavaScript object keeps
      return { text: JSON.stringify(document[member]), signature: toHex(fromHex(signature)) };
    }
  } catch (thrown) {
    throw unavailable(url, 'the answer is not JSON', thrown);
  }
  throw unavailable(url, `the answer lacks ${member} with its signature`);
}

/** The service's base: with or without the API path, with or without a slash at its end. */
const baseOf = (url: string): string => url.replace(/\/+$/, '').replace(/\/(sgx|tdx)\/certification\/v4$/, '');

export interface FetchOptions {
  /** kind of quote, default tdx */
  readonly tee?: 'tdx' | 'sgx' | undefined;
  /** for all requests together in milliseconds, default 20 000 */
  readonly timeoutMs?: number | undefined;
}

/**
 * Fetches what is needed to judge a quote of this platform.
 * @param url base of the service
 * @param root trust anchor, for the address of its revocation list where the service has none
 * @throws COLLATERAL_UNAVAILABLE
 */
export async function fetchCollateral(
  url: string,
  platform: Pick<PckPlatform, 'ca' | 'fmspc'>,
  root: Certificate,
  { tee = 'tdx', timeoutMs = TIMEOUT_MS }: FetchOptions = {},
): Promise<Collateral> {
  const base = baseOf(url);
  const signal = AbortSignal.timeout(timeoutMs);
  const urls = {
    crl: `${base}/sgx/certification/v4/pckcrl?ca=${platform.ca}&encoding=der`,
    tcb: `${base}/${tee}/certification/v4/tcb?fmspc=${platform.fmspc.toUpperCase()}`,
    qe: `${base}/${tee}/certification/v4/qe/identity`,
  };
  const [crl, tcb, qe, rootCrl] = await Promise.all([
    get(urls.crl, signal),
    get(urls.tcb, signal),
    get(urls.qe, signal),
    fetchRootCrl(base, root, signal),
  ]);
  const tcbInfo = signedPart(tcb, urls.tcb, 'tcbInfo');
  const identity = signedPart(qe, urls.qe, 'enclaveIdentity');
  return {
    pck_crl_issuer_chain: chainOf(crl, urls.crl, 'SGX-PCK-CRL-Issuer-Chain'),
    root_ca_crl: rootCrl,
    pck_crl: derHex(crl, urls.crl),
    tcb_info_issuer_chain: chainOf(tcb, urls.tcb, 'TCB-Info-Issuer-Chain', 'SGX-TCB-Info-Issuer-Chain'),
    tcb_info: tcbInfo.text,
    tcb_info_signature: tcbInfo.signature,
    qe_identity_issuer_chain: chainOf(qe, urls.qe, 'SGX-Enclave-Identity-Issuer-Chain'),
    qe_identity: identity.text,
    qe_identity_signature: identity.signature,
  };
}

/** A PCCS serves it; Intel's PCS does not, there the trust anchor itself names the place. */
async function fetchRootCrl(base: string, root: Certificate, signal: AbortSignal): Promise<string> {
  const own = `${base}/sgx/certification/v4/rootcacrl`;
  const points = latin1(root.extensions.get(OID.crlDistributionPoints) ?? EMPTY_BYTES);
  const named = /https:\/\/[\x21-\x7e]+/.exec(points)?.[0];
  try {
    return derHex(await get(own, signal), own);
  } catch (thrown) {
    if (named === undefined) throw thrown;
    return derHex(await get(named, signal), named);
  }
}

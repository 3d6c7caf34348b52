/**
 * /run/dstack/gateway-cache.json: the guest's identity towards the gateway, kept from one registration to the next, so
 * that the gateway knows the guest again and the tunnel keeps its address. Source: dstack formats, gateway cache.
 */
import { createHash } from 'node:crypto';
import { Fields } from '../config/fields.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { errorChain } from '../errors.ts';
import { ifExists, makeDir, readLimited, writeAtomic } from '../sys/files.ts';
import * as ui from '../ui.ts';

export const GATEWAY_CACHE_DIR = '/run/dstack';
export const GATEWAY_CACHE = `${GATEWAY_CACHE_DIR}/gateway-cache.json`;

const LIMIT = 1024 * 1024;
/** a certificate that ends within this many seconds is replaced */
const MIN_REMAINING_S = 600;
/** certificates are renewed within this time before their end */
const RENEW_WINDOW_S = 86_400;

/** All of it but the certificates is secret. */
export interface GatewayCache {
  /** PEM chain, leaf first, with app info */
  readonly clientCert: string;
  /** the same key with a quote, for gateways that ask for one */
  readonly clientCertWithQuote: string;
  /** PKCS#8 PEM */
  readonly clientKey: string;
  /** Unix seconds */
  readonly certNotAfter: number;
  /** WireGuard key pair, base64 of 32 bytes each */
  readonly wgSk: string;
  readonly wgPk: string;
}

/** Base64 of exactly 32 bytes, as `wg genkey` prints it. */
export const WG_KEY = /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/;

/** @throws JSON_INVALID, DOCUMENT_INVALID naming the field, never a value */
export function parseGatewayCache(raw: Uint8Array, path: string = GATEWAY_CACHE): GatewayCache {
  const fields = new Fields(parseStrictJsonBytes(raw, path), { path, secret: true });
  const wgKey = (name: string): string => {
    const text = fields.string(name);
    if (!WG_KEY.test(text)) fields.fail(name, 'must be a WireGuard key in base64');
    return text;
  };
  if (!fields.has('cert_not_after')) fields.fail('cert_not_after', 'is missing');
  return {
    clientCert: fields.string('client_cert'),
    clientCertWithQuote: fields.string('client_cert_with_quote'),
    clientKey: fields.string('client_key'),
    certNotAfter: fields.integer('cert_not_after', 0, Number.MAX_SAFE_INTEGER),
    wgSk: wgKey('wg_sk'),
    wgPk: wgKey('wg_pk'),
  };
}

/** Compact JSON in the fixed key order. */
export function formatGatewayCache(cache: GatewayCache): string {
  return JSON.stringify({
    client_cert: cache.clientCert,
    client_cert_with_quote: cache.clientCertWithQuote,
    client_key: cache.clientKey,
    cert_not_after: cache.certNotAfter,
    wg_sk: cache.wgSk,
    wg_pk: cache.wgPk,
  });
}

/** Whether the certificates can still be used at `now` (Unix seconds). */
export const isCurrent = (cache: Pick<GatewayCache, 'certNotAfter'>, now: number): boolean =>
  now + MIN_REMAINING_S < cache.certNotAfter;

/**
 * Whether it is time for new certificates: some time in their last day, another one for each guest, so that a fleet that
 * was started at the same moment does not ask its KMS at the same moment ten days later.
 */
export function isDue({ certNotAfter, wgPk }: Pick<GatewayCache, 'certNotAfter' | 'wgPk'>, now: number): boolean {
  const spread = createHash('sha256').update(wgPk).digest().readUInt32BE() / 2 ** 32;
  return now + MIN_REMAINING_S + spread * RENEW_WINDOW_S >= certNotAfter;
}

/** The cache of an earlier registration in this boot; a missing or damaged one is none. */
export async function readGatewayCache(path: string = GATEWAY_CACHE): Promise<GatewayCache | undefined> {
  try {
    const raw = await ifExists(() => readLimited(path, LIMIT));
    return raw === undefined ? undefined : parseGatewayCache(raw, path);
  } catch (thrown) {
    ui.warn(`the gateway cache is ignored: ${errorChain(thrown)}`);
    return undefined;
  }
}

/** Written before the registration is tried: a gateway that took us must find the same keys next time. */
export async function writeGatewayCache(cache: GatewayCache, path: string = GATEWAY_CACHE): Promise<void> {
  await makeDir(path.slice(0, path.lastIndexOf('/')));
  await writeAtomic(path, formatGatewayCache(cache), 0o600);
}

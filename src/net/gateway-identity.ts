/**
 * The identity of this guest towards gateways: one TLS key with two certificates (app info alone, and with a quote) and a
 * WireGuard key pair. Kept in /run, so it lives as long as the boot. Source: dstack formats, gateway cache.
 */
import type { AppKeys } from '../config/app-keys.ts';
import { errorChain } from '../errors.ts';
import type { P256Key } from '../keys/derive.ts';
import { wipe } from '../sys/files.ts';
import type { Attestation } from '../tdx/attestation.ts';
import * as ui from '../ui.ts';
import { type GatewayCache, isCurrent, isDue, readGatewayCache, writeGatewayCache } from './gateway-cache.ts';
import type { KmsObserver } from './kms-contact.ts';
import { wireGuardKeys } from './wireguard.ts';

/** common name of the certificates */
export const GATEWAY_CLIENT = 'dstack-guest-agent';
export const CERT_LIFETIME_S = 864_000;

/** The two certificates for one key: PEM chains, leaf first. */
export interface GatewayCertificates {
  readonly plain: readonly string[];
  readonly withQuote: readonly string[];
}

/** Makes both certificates; the app info (and in one of them the quote) come from evidence over the key. */
export type Certify = (key: P256Key, notAfter: number) => Promise<GatewayCertificates>;

export interface IdentityPlace {
  readonly path: string;
  /** Unix seconds */
  readonly now: number;
}

/**
 * The cached identity, or a new one, which is stored before anything else happens. The WireGuard keys outlive the
 * certificates, so that the gateway gives the guest its old address.
 */
export async function gatewayIdentity(certify: Certify, { path, now }: IdentityPlace): Promise<GatewayCache> {
  const cached = await readGatewayCache(path);
  const usable = cached !== undefined && isCurrent(cached, now);
  if (usable && !isDue(cached, now)) return cached;
  try {
    return await renew(certify, cached, { path, now });
  } catch (thrown) {
    // renewed early: as long as the old certificates hold, a KMS that is down does not cost the tunnel
    if (!usable) throw thrown;
    ui.warn(`the gateway certificates were not renewed yet: ${errorChain(thrown)}`);
    return cached;
  }
}

async function renew(
  certify: Certify,
  cached: GatewayCache | undefined,
  { path, now }: IdentityPlace,
): Promise<GatewayCache> {
  const { freshTlsKey, privateKeyPem } = await import('../keys/tls-key.ts');
  const key = freshTlsKey();
  try {
    const notAfter = now + CERT_LIFETIME_S;
    const { plain, withQuote } = await certify(key, notAfter);
    const wg = cached === undefined ? wireGuardKeys() : { sk: cached.wgSk, pk: cached.wgPk };
    const identity: GatewayCache = {
      clientCert: plain.join('\n'),
      clientCertWithQuote: withQuote.join('\n'),
      clientKey: privateKeyPem(key),
      certNotAfter: notAfter,
      wgSk: wg.sk,
      wgPk: wg.pk,
    };
    await writeGatewayCache(identity, path);
    return identity;
  } finally {
    wipe(key.scalar, key.pkcs8Der);
  }
}

/** Certificates signed by whoever signs for this app. One quote serves both. */
export function certifyWith(
  keys: Pick<AppKeys, 'caCert' | 'keyProvider'>,
  attest: (reportData: Uint8Array) => Promise<Attestation>,
  tell?: KmsObserver,
): Certify {
  return async (key, notAfter) => {
    const { certifyKey } = await import('./certify.ts');
    const { certReportData } = await import('../keys/report-data.ts');
    const reportData = certReportData(key.spkiDer);
    const evidence = await attest(reportData);
    const same = (wanted: Uint8Array) =>
      Buffer.compare(wanted, reportData) === 0 ? Promise.resolve(evidence) : attest(wanted);
    const request = { commonName: GATEWAY_CLIENT, clientAuth: true, notAfter, withAppInfo: true };
    return {
      plain: await certifyKey(keys, key, request, same, tell),
      withQuote: await certifyKey(keys, key, { ...request, withQuote: true }, same, tell),
    };
  };
}

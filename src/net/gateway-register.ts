/**
 * RegisterCvm: tells a gateway the WireGuard key of this guest and gets the configuration of the tunnel. Gateways are
 * tried in order; an older one that asks for a quote is asked again with the certificate that has one.
 * Source: dstack services, gateway client; keys and certificates, TLS policies.
 */
import type { AppCompose } from '../config/app-compose.ts';
import { HOST_SHARED } from '../config/paths.ts';
import { DstackError, errorChain } from '../errors.ts';
import type { ClientCertificate } from '../keys/temp-cert.ts';
import * as ui from '../ui.ts';
import type { GatewayCache } from './gateway-cache.ts';
import { parseRegistration, type WireGuardAnswer } from './gateway-response.ts';
import type { Occupied } from './occupied.ts';
import type { EvidenceRules } from './peer-evidence.ts';

/** What an older gateway says to a certificate without a quote. */
const QUOTE_WANTED = 'no attestation provided';

/** One call over RA-TLS, see `callGateway`. */
export type CallGateway = (url: string, body: unknown, client: ClientCertificate) => Promise<unknown>;

/** The address of the service: one slash less, `/prpc` more. */
export function gatewayRpcUrl(url: string): string {
  const bare = url.replace(/\/$/, '');
  return bare.endsWith('/prpc') ? bare : `${bare}/prpc`;
}

/** What a gateway is told of app-compose.json. */
export type RegisteredApp = Pick<AppCompose, 'portPolicy'> & Partial<Pick<AppCompose, 'requirements'>>;

export interface Registration extends WireGuardAnswer {
  /** the gateway that answered */
  readonly url: string;
}

/**
 * @param occupied addresses this machine uses; a gateway whose answer collides with them counts as failed
 * @throws GATEWAY_UNREACHABLE when none of them registers this guest, with the words of each
 */
export async function register(
  urls: readonly string[],
  identity: GatewayCache,
  { portPolicy, requirements }: RegisteredApp,
  call: CallGateway,
  occupied: readonly Occupied[],
): Promise<Registration> {
  const body = {
    client_public_key: identity.wgPk,
    port_policy: { ports: portPolicy.ports, restrict_mode: portPolicy.restrictMode },
    // said only where it is asked for: older gateways do not know it
    ...(requirements?.healthCheck === true ? { health_check: true } : {}),
  };
  const failures: { readonly url: string; readonly error: unknown }[] = [];
  for (const url of urls) {
    try {
      const answer = await registerAt(gatewayRpcUrl(url), body, identity, call);
      return { ...parseRegistration(answer, url, occupied), url };
    } catch (thrown) {
      failures.push({ url, error: thrown });
      ui.warn(`gateway ${url} did not register this guest: ${errorChain(thrown)}`);
    }
  }
  throw new DstackError('GATEWAY_UNREACHABLE', 'failed to register CVM, all dstack-gateway urls are down', {
    field: 'gateway_urls',
    value: urls.join(', '),
    cause:
      failures.length === 1
        ? failures[0]?.error
        : failures.map(({ url, error }) => `${url}: ${errorChain(error)}`).join('; '),
  });
}

async function registerAt(url: string, body: unknown, identity: GatewayCache, call: CallGateway): Promise<unknown> {
  const { clientCert, clientCertWithQuote, clientKey: key } = identity;
  try {
    return await call(url, body, { certificate: clientCert, key });
  } catch (thrown) {
    if (!errorChain(thrown).includes(QUOTE_WANTED)) throw thrown;
    ui.info(`gateway ${url} is an older one and wants a quote`);
    return await call(url, body, { certificate: clientCertWithQuote, key });
  }
}

/**
 * Whether a gateway with this app id (hex) may serve an app whose KMS names `allowed`. The deployed rule is a substring,
 * because `allowed` may list several; a certificate without an app id is nobody.
 */
export const isAllowedGateway = (allowed: string, appId: string): boolean =>
  appId !== '' && allowed.toLowerCase().includes(appId.toLowerCase());

/**
 * The real call. Trust is the app's own CA and nothing else, the host name counts, and the app id in the certificate must
 * be an allowed one; with `any` the peer is not judged at all. Limits in milliseconds: connecting 5 000, all of it 60 000.
 * Evidence is judged, and must be there, only where `policy` gives rules.
 * @throws GATEWAY_MISCONFIGURED: there is a policy, and the KMS lets anybody be the gateway
 */
export function callGateway(
  caCert: string,
  allowedAppId: string,
  limits: { readonly timeoutMs?: number; readonly connectTimeoutMs?: number } = {},
  policy: () => Promise<EvidenceRules | undefined> = async () => undefined,
): CallGateway {
  return async (url, body, client) => {
    const { callRaTls } = await import('./ra-tls-client.ts');
    const evidenceRules = await policy();
    if (evidenceRules !== undefined && allowedAppId === 'any') {
      throw new DstackError(
        'GATEWAY_MISCONFIGURED',
        'the KMS lets anybody be the gateway, but its TCB status is pinned',
        {
          path: HOST_SHARED.appKeys,
          field: 'gateway_app_id',
          value: allowedAppId,
          hint: 'let the KMS name the gateway, or remove the policy for peers (peer_tcb_statuses, dstack.peer_tcb)',
        },
      );
    }
    const evidence = evidenceRules === undefined ? 'ignore' : 'required';
    return callRaTls(url, 'RegisterCvm', body, {
      ...limits,
      client,
      peer:
        allowedAppId === 'any'
          ? 'any'
          : {
              ...{ root: caCert, evidence, evidenceRules },
              acceptsApp: (appId) => isAllowedGateway(allowedAppId, appId),
            },
      unreachable: 'GATEWAY_UNREACHABLE',
      failed: 'GATEWAY_FAILED',
    });
  };
}

/** When the certificates end that this guest lives by. */
import { perObject } from '../../codec/per-object.ts';
import type { AppKeys } from '../../config/app-keys.ts';
import { parsePemChain } from '../../x509/x509.ts';
import type { AgentState } from '../state.ts';

/** What it is called in /metrics and on the page. */
export type CertificateName = 'app_ca' | 'kms_client_ca' | 'app_cert' | 'gateway_client';

/** Unix seconds of the end; one that is not there, or cannot be read, is left out. */
export type CertificateEnds = ReadonlyMap<CertificateName, number>;

/** End of the first certificate of a PEM chain. */
function endOf(pem: string): number | undefined {
  try {
    const [first] = parsePemChain(pem);
    return first && first.notAfter / 1000;
  } catch {
    return undefined;
  }
}

const ofKeys = perObject(({ caCert, keyProvider }: AppKeys) => ({
  app_ca: endOf(caCert),
  kms_client_ca: keyProvider.kind === 'kms' && keyProvider.tmpCaCert !== '' ? endOf(keyProvider.tmpCaCert) : undefined,
}));

/** @param gatewayClient Unix seconds, from the record of the last registration */
export function certificateEnds(
  { keys, demo }: Pick<AgentState, 'keys'> & { readonly demo: Pick<AgentState['demo'], 'issued'> },
  gatewayClient: number | undefined,
): CertificateEnds {
  const all: Record<CertificateName, number | undefined> = {
    ...ofKeys(keys),
    // the RA-TLS certificate of Info; to look at it must not be a reason to issue one
    app_cert: demo.issued === undefined ? undefined : endOf(demo.issued),
    gateway_client: gatewayClient,
  };
  return new Map(
    Object.entries(all).flatMap(([name, end]) => (end === undefined ? [] : [[name as CertificateName, end] as const])),
  );
}

/** Who signs the certificates with which this guest shows itself to a gateway: its own CA, or the KMS. */
import type { AppKeys } from '../config/app-keys.ts';
import type { SysConfig } from '../config/sys-config.ts';
import { takeAttestation } from '../tdx/evidence.ts';
import { type Certify, certifyLocally } from './gateway-identity.ts';

/** @throws by the returned function: QUOTE_*, CERT_INVALID, KEY_PROVIDER_UNSUPPORTED */
export function certifyForGateway(keys: AppKeys, sysConfig: SysConfig): Certify {
  return certifyLocally(keys, (reportData) => takeAttestation(reportData, { config: sysConfig.vmConfig }));
}

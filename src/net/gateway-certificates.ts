/** Who signs the certificates with which this guest shows itself to a gateway: the KMS, or the app's own CA. */
import type { AppKeys } from '../config/app-keys.ts';
import type { SysConfig } from '../config/sys-config.ts';
import type { Attestation } from '../tdx/attestation.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import { type Certify, certifyWith } from './gateway-identity.ts';
import type { KmsObserver } from './kms-contact.ts';

type Attest = (reportData: Uint8Array) => Promise<Attestation>;

/** @throws by the returned function: QUOTE_*, CERT_INVALID, KMS_* */
export function certifyForGateway(
  keys: AppKeys,
  { vmConfig }: Pick<SysConfig, 'vmConfig'>,
  attest?: Attest,
  tell?: KmsObserver,
): Certify {
  const evidence: Attest =
    attest ??
    (async (reportData) =>
      (await import('../tdx/take-evidence.ts')).takeAttestation(reportData, { ...realTdxMachine, config: vmConfig }));
  return certifyWith(keys, evidence, tell);
}

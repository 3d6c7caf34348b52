/** Who signs the certificates with which this guest shows itself to a gateway: the KMS, or the app's own CA. */
import type { AppKeys } from '../config/app-keys.ts';
import type { SysConfig } from '../config/sys-config.ts';
import type { Attestation } from '../tdx/attestation.ts';
import { type Certify, certifyLocally, GATEWAY_CLIENT } from './gateway-identity.ts';

type Attest = (reportData: Uint8Array) => Promise<Attestation>;

/** @throws by the returned function: QUOTE_*, CERT_INVALID, KMS_* */
export function certifyForGateway(keys: AppKeys, { vmConfig }: Pick<SysConfig, 'vmConfig'>, attest?: Attest): Certify {
  const evidence: Attest =
    attest ??
    (async (reportData) => (await import('../tdx/evidence.ts')).takeAttestation(reportData, { config: vmConfig }));
  return keys.keyProvider.kind === 'kms' ? certifyByKms(keys, vmConfig, evidence) : certifyLocally(keys, evidence);
}

/** One temporary certificate and one quote over the new key serve both certificates. */
function certifyByKms({ keyProvider, caCert }: AppKeys, vmConfig: string, attest: Attest): Certify {
  return async (key, notAfter) => {
    if (keyProvider.kind !== 'kms') throw new TypeError('not a KMS');
    const { kmsSigner } = await import('./kms-sign-cert.ts');
    const { certReportData } = await import('../keys/report-data.ts');
    const signer = await kmsSigner({ provider: keyProvider, caCert, vmConfig, attest });
    const attestation = await attest(certReportData(key.spkiDer));
    const request = {
      commonName: GATEWAY_CLIENT,
      altNames: [],
      serverAuth: false,
      clientAuth: true,
      withAppInfo: true,
      notAfter,
    };
    return {
      plain: await signer.sign(key, attestation, { ...request, withQuote: false }),
      withQuote: await signer.sign(key, attestation, { ...request, withQuote: true }),
    };
  };
}

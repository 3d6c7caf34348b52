/**
 * Certificates for keys of this app, whoever signs them: its own CA, or the KMS. Evidence is taken only where it is
 * needed, which with a KMS is always. Source: dstack keys and certificates, signing.
 */
import type { AppKeys } from '../config/app-keys.ts';
import type { P256Key } from '../keys/derive.ts';
import { certReportData } from '../keys/report-data.ts';
import { decodeAppInfo } from '../tdx/app-identity.ts';
import { encodeAppInfo } from '../tdx/app-info-extension.ts';
import { type Attestation, encodeVersioned, strip } from '../tdx/attestation.ts';
import type { CertifyRequest } from './certify-request.ts';
import type { KmsObserver } from './kms-contact.ts';

/**
 * @param attest evidence of this guest over 64 bytes of report data
 * @param tell how a call to the KMS ended, if there was one
 * @returns leaf first, the root last; each one PEM with trailing newline
 * @throws CERT_INVALID, KEY_INVALID, QUOTE_*, with a KMS also KMS_* and CERT_*
 */
export async function certifyKey(
  keys: Pick<AppKeys, 'caCert' | 'keyProvider'>,
  key: P256Key,
  request: CertifyRequest,
  attest: (reportData: Uint8Array) => Promise<Attestation>,
  tell?: KmsObserver,
): Promise<string[]> {
  const reportData = certReportData(key.spkiDer);
  if (keys.keyProvider.kind === 'kms') {
    const { signWithKms } = await import('./kms-sign.ts');
    return signWithKms(keys, key, request, attest, await attest(reportData), tell);
  }
  const { signLeaf } = await import('../keys/ca-cert.ts');
  const { withQuote, withAppInfo, form, ...plain } = request;
  const attestation = withQuote || withAppInfo ? await attest(reportData) : undefined;
  return signLeaf(keys, key, {
    ...plain,
    attestation: withQuote && attestation ? encodeVersioned(strip(attestation), form) : undefined,
    appInfo: withAppInfo && attestation ? encodeAppInfo(decodeAppInfo(attestation)) : undefined,
  });
}

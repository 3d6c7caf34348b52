/** Certificates for the app's TLS keys: GetTlsKey and DeriveKey (dstack keys and certificates, TLS keys). */
import type { Message } from '../../codec/prpc-messages.ts';
import type { AppKeys } from '../../config/app-keys.ts';
import { DstackError } from '../../errors.ts';
import type { P256Key } from '../../keys/derive.ts';
import { loadCertify } from '../../net/net.ts';
import { wipe } from '../../sys/files.ts';
import type { AttestationForm } from '../../tdx/attestation.ts';
import type { Backend } from '../evidence/backend.ts';
import type { KmsCalls } from '../figures/kms-calls.ts';

/** Who certifies keys of this app, and who wants to know how calls to the KMS ended. */
export interface Certifier {
  readonly keys: AppKeys;
  readonly backend: Backend;
  readonly kms: Pick<KmsCalls, 'tell'>;
}

export interface TlsKeyRequest {
  readonly subject: string;
  readonly altNames: readonly string[];
  readonly serverAuth: boolean;
  readonly clientAuth: boolean;
  /** put an attestation of the key into the certificate */
  readonly raTls: boolean;
  /** put the identity of the app into the certificate */
  readonly appInfo: boolean;
  /** Unix seconds */
  readonly notBefore?: number | undefined;
  readonly notAfter?: number | undefined;
  /** the form of the attestation in the certificate; default: the natural one */
  readonly form?: AttestationForm | undefined;
}

/**
 * The answer to GetTlsKey and DeriveKey: the key as PEM and its certificate chain. The raw key is wiped.
 * @throws as `certify`
 */
export async function certifiedKey(certifier: Certifier, key: P256Key, request: TlsKeyRequest) {
  const { privateKeyPem } = await import('../../keys/tls-key.ts');
  try {
    const chain = await certify(certifier, key, request);
    return { key: privateKeyPem(key), certificate_chain: chain };
  } finally {
    wipe(key.scalar, key.pkcs8Der);
  }
}

/**
 * The answer to GetTlsKey and IssueCert: a fresh key, certified as the request asks.
 * @param form of the attestation in the certificate; default: the natural one
 * @throws as `certify`
 */
export async function freshCertifiedKey(
  certifier: Certifier,
  request: Message<'IssueCertRequest'>,
  form?: AttestationForm,
) {
  const { freshTlsKey } = await import('../../keys/tls-key.ts');
  return certifiedKey(certifier, freshTlsKey(), {
    subject: request.subject,
    altNames: request.alt_names,
    serverAuth: request.usage_server_auth,
    clientAuth: request.usage_client_auth,
    raTls: request.usage_ra_tls,
    appInfo: request.with_app_info,
    notBefore: request.not_before,
    notAfter: request.not_after,
    form,
  });
}

/**
 * A certificate for `key`, signed by the app's own CA or by the KMS.
 * @returns leaf first, each one PEM
 * @throws INPUT_INVALID (validity), otherwise as `certifyKey`
 */
export async function certify(
  { keys, backend, kms }: Certifier,
  key: P256Key,
  request: TlsKeyRequest,
): Promise<string[]> {
  const { notBefore, notAfter } = request;
  if (notBefore !== undefined && notAfter !== undefined && notBefore >= notAfter) {
    throw new DstackError('INPUT_INVALID', 'not_before must be earlier than not_after', {
      field: 'not_before',
      value: notBefore,
    });
  }
  const { certifyKey } = await loadCertify();
  return certifyKey(
    keys,
    key,
    {
      commonName: request.subject,
      altNames: request.altNames,
      serverAuth: request.serverAuth,
      clientAuth: request.clientAuth,
      withQuote: request.raTls,
      withAppInfo: request.appInfo,
      notBefore,
      notAfter,
      form: request.form,
    },
    (reportData) => backend.attestation(reportData),
    kms.tell,
  );
}

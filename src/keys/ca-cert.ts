/**
 * The app's own certificate authority, for key providers without a KMS: its self-signed root and the leaves it signs.
 * Source: dstack keys and certificates, local CA certificate and signing.
 */
import { createPrivateKey } from 'node:crypto';
import { perObject } from '../codec/per-object.ts';
import type { AppKeys } from '../config/app-keys.ts';
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import { type CertificateRequest, issueCertificate, type PreparedIssuer, prepareIssuer } from '../x509/x509.ts';
import { type P256Key, p256FromScalar } from './derive.ts';

const ROOT_NAME = 'App Root Cert';
/** what app-signed leaves are for */
const LEAF_USAGE = 'app:custom';

/**
 * The self-signed CA certificate of the app key.
 * `attestation` is the stripped versioned attestation whose report data is `certReportData` of the key.
 * @returns PEM
 */
export function localCaCert(options: {
  readonly appKey: P256Key;
  readonly attestation?: Uint8Array | undefined;
  readonly commonName?: string;
  /** how many CAs may follow, default 1 */
  readonly pathLength?: number;
}): Promise<string> {
  const { appKey, attestation, commonName = ROOT_NAME, pathLength = 1 } = options;
  return issueCertificate({ commonName, ca: { pathLength }, attestation }, appKey);
}

/** What a caller of GetTlsKey or DeriveKey may ask for. */
export type LeafRequest = Omit<CertificateRequest, 'ca' | 'usage' | 'appId'>;

/**
 * Signs a leaf for `leafKey` with the app's own CA.
 * @returns [leaf, ca_cert], each one PEM with trailing newline
 * @throws KEY_PROVIDER_UNSUPPORTED for a KMS (which signs itself), CERT_INVALID, KEY_INVALID
 */
export async function signLeaf(
  keys: Pick<AppKeys, 'caCert' | 'keyProvider'>,
  leafKey: Pick<P256Key, 'spkiDer'>,
  request: LeafRequest,
): Promise<string[]> {
  const leaf = await issueCertificate({ ...request, usage: LEAF_USAGE }, leafKey, authorityOf(keys));
  return [leaf, keys.caCert.endsWith('\n') ? keys.caCert : `${keys.caCert}\n`];
}

/** The app's own CA, read and checked once for the keys of an app. It lives as long as they do, and holds what their PEM text holds. */
const authorityOf = perObject(({ caCert, keyProvider }: Pick<AppKeys, 'caCert' | 'keyProvider'>): PreparedIssuer => {
  if (keyProvider.kind === 'kms') throw signedByKms();
  const key = p256FromPem(keyProvider.key);
  try {
    return prepareIssuer({ certificate: caCert, key });
  } finally {
    wipe(key.scalar, key.pkcs8Der);
  }
});

const signedByKms = (): DstackError =>
  new DstackError('KEY_PROVIDER_UNSUPPORTED', 'certificates of apps with a KMS are signed by the KMS');

/** Reads a P-256 private key from PEM (PKCS#8 or SEC1). @throws KEY_INVALID, never with a piece of the text */
export function p256FromPem(pem: string): P256Key {
  try {
    const { crv, d } = createPrivateKey(pem).export({ format: 'jwk' });
    if (crv === 'P-256' && d !== undefined) return p256FromScalar(new Uint8Array(Buffer.from(d, 'base64url')));
  } catch {
    // no cause: a parser's message could quote the key
  }
  throw new DstackError('KEY_INVALID', 'the text does not hold a P-256 private key in PEM form');
}

/** The certificate a gateway shows: below the root that its guests trust, with the app id the KMS names to them. */
import { createHash } from 'node:crypto';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { type Issuer, issueCertificate } from '../../src/x509/x509.ts';

/** The app id of the development gateway: 20 bytes. */
export const GATEWAY_APP_ID = Uint8Array.from(createHash('sha256').update('dstack-sim gateway').digest()).slice(0, 20);

export interface ServerIdentity {
  /** PEM: leaf, then its issuer */
  readonly certificate: string;
  /** PKCS#8 PEM */
  readonly key: string;
}

/** A new key and its certificate for these names. */
export async function gatewayCertificate(
  issuer: Issuer,
  names: readonly string[],
  appId: Uint8Array = GATEWAY_APP_ID,
): Promise<ServerIdentity> {
  const key = freshTlsKey();
  const leaf = await issueCertificate(
    {
      commonName: names[0] ?? 'gateway',
      altNames: names,
      serverAuth: true,
      clientAuth: true,
      appId,
      usage: 'app:custom',
    },
    key,
    issuer,
  );
  return { certificate: `${leaf}${issuer.certificate}`, key: privateKeyPem(key) };
}

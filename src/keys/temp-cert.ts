/**
 * The client certificate with which a guest shows itself to the KMS: a fresh key, evidence over it, signed by a CA that the
 * KMS gives to everybody, or by itself. It proves nothing but the evidence inside. Source: dstack keys and certificates, temp certificate.
 */
import { wipe } from '../sys/files.ts';
import { type Issuer, issueCertificate } from '../x509/x509.ts';
import { p256FromPem } from './ca-cert.ts';
import { certReportData } from './report-data.ts';
import { freshTlsKey, privateKeyPem } from './tls-key.ts';

const COMMON_NAME = 'RA-TLS TEMP Cert';

export interface ClientCertificate {
  /** PEM; the leaf alone, or followed by its issuers */
  readonly certificate: string;
  /** PKCS#8 PEM; secret */
  readonly key: string;
}

/** Evidence over 64 bytes of report data, as stripped versioned attestation bytes. */
export type EvidenceSource = (reportData: Uint8Array) => Promise<Uint8Array>;

/**
 * @param ca PEM texts of tmp_ca_cert and tmp_ca_key
 * @param attest absent only in a dry run: the certificate then carries no evidence
 * @throws KEY_INVALID (tmp_ca_key), CERT_INVALID (`CA certificate does not match private key`), errors of `attest`
 */
export async function tempCertificate(
  ca: { readonly certificate: string; readonly key: string },
  attest?: EvidenceSource,
): Promise<ClientCertificate> {
  const key = p256FromPem(ca.key);
  try {
    return await clientCertificate(attest, { certificate: ca.certificate, key });
  } finally {
    wipe(key.scalar, key.pkcs8Der);
  }
}

/** For a KMS that looks at the evidence only, whoever signed the certificate. @throws errors of `attest` */
export const selfSignedCertificate = (attest: EvidenceSource): Promise<ClientCertificate> => clientCertificate(attest);

async function clientCertificate(attest?: EvidenceSource, issuer?: Issuer): Promise<ClientCertificate> {
  const key = freshTlsKey();
  try {
    const attestation = await attest?.(certReportData(key.spkiDer));
    const certificate = await issueCertificate({ commonName: COMMON_NAME, attestation }, key, issuer);
    return { certificate, key: privateKeyPem(key) };
  } finally {
    wipe(key.scalar, key.pkcs8Der);
  }
}

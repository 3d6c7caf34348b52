/**
 * The client certificate with which a guest shows itself to the KMS: a fresh key, evidence over it, signed by a CA that the
 * KMS gives to everybody. It proves nothing but the evidence inside. Source: dstack keys and certificates, temp certificate.
 */
import { wipe } from '../sys/files.ts';
import { issueCertificate } from '../x509/x509.ts';
import { p256FromPem } from './ca-cert.ts';
import type { P256Key } from './derive.ts';
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
  const secrets: P256Key[] = [];
  try {
    const caKey = p256FromPem(ca.key);
    secrets.push(caKey);
    const key = freshTlsKey();
    secrets.push(key);
    const attestation = await attest?.(certReportData(key.spkiDer));
    const issuer = { certificate: ca.certificate, key: caKey };
    const certificate = await issueCertificate({ commonName: COMMON_NAME, attestation }, key, issuer);
    return { certificate, key: privateKeyPem(key) };
  } finally {
    for (const { scalar, pkcs8Der } of secrets) wipe(scalar, pkcs8Der);
  }
}

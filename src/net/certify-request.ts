import type { AttestationForm } from '../tdx/attestation.ts';

/** What the certificate shall say. */
export interface CertifyRequest {
  readonly commonName: string;
  readonly altNames?: readonly string[];
  readonly serverAuth?: boolean;
  readonly clientAuth?: boolean;
  /** put an attestation of the key into the certificate */
  readonly withQuote?: boolean;
  /** put the identity of the app into the certificate */
  readonly withAppInfo?: boolean;
  /** the form of the attestation; default: the natural one */
  readonly form?: AttestationForm | undefined;
  /** Unix seconds */
  readonly notBefore?: number | undefined;
  readonly notAfter?: number | undefined;
}

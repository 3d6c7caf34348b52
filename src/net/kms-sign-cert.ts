/**
 * SignCert: certificates for keys of this app, signed by the KMS. The request carries evidence over the key, the connection
 * a fresh temporary certificate with evidence of its own. Source: dstack keys and certificates, CSR and signing.
 */
import { toHex } from '../codec/hex.ts';
import { decodeJson } from '../codec/prpc-json.ts';
import type { KeyProvider } from '../config/app-keys.ts';
import { DstackError } from '../errors.ts';
import { type CsrContent, encodeCsr, signCsr } from '../keys/csr.ts';
import type { P256Key } from '../keys/derive.ts';
import { type ClientCertificate, tempCertificate } from '../keys/temp-cert.ts';
import { type Attestation, encodeVersioned, strip } from '../tdx/attestation.ts';
import { callRaTls } from './ra-tls-client.ts';

const API_VERSION = 2;

/** What the certificate shall say. */
export interface SignCertRequest extends Omit<CsrContent, 'spkiDer'> {
  readonly withAppInfo: boolean;
  /** Unix seconds */
  readonly notBefore?: number | undefined;
  readonly notAfter?: number | undefined;
}

export interface KmsSigner {
  /** @returns [leaf, app CA, root CA], each one PEM. `attestation` has the report data of the key's certificate */
  sign(key: P256Key, attestation: Attestation, request: SignCertRequest): Promise<string[]>;
}

export interface KmsSignerOptions {
  readonly provider: Extract<KeyProvider, { kind: 'kms' }>;
  /** ca_cert of the key file: the only root that counts here */
  readonly caCert: string;
  /** text of vm_config */
  readonly vmConfig: string;
  readonly attest: (reportData: Uint8Array) => Promise<Attestation>;
}

/**
 * Prepares one session: a temporary client certificate, which takes a quote, for any number of requests.
 * @throws KEY_INVALID, CERT_INVALID, QUOTE_*; `sign` throws KMS_*, CERT_*, CSR_INVALID
 */
export async function kmsSigner({ provider, caCert, vmConfig, attest }: KmsSignerOptions): Promise<KmsSigner> {
  const ca = { certificate: provider.tmpCaCert, key: provider.tmpCaKey };
  const client = await tempCertificate(ca, async (reportData) => encodeVersioned(strip(await attest(reportData))));
  return {
    sign: (key, attestation, request) => signCert(key, attestation, request, { provider, caCert, vmConfig, client }),
  };
}

interface Session extends Omit<KmsSignerOptions, 'attest'> {
  readonly client: ClientCertificate;
}

async function signCert(
  key: P256Key,
  attestation: Attestation,
  request: SignCertRequest,
  { provider, caCert, vmConfig, client }: Session,
): Promise<string[]> {
  const csr = encodeCsr({ ...request, spkiDer: key.spkiDer, attestation: encodeVersioned(attestation) });
  const body = {
    api_version: API_VERSION,
    csr: toHex(csr),
    signature: toHex(signCsr(csr, key)),
    vm_config: vmConfig,
  };
  const answer = await callRaTls(provider.url, 'SignCert', body, {
    client,
    peer: { root: caCert, evidence: 'ignore' },
    unreachable: 'KMS_UNREACHABLE',
    late: 'KMS_TIMEOUT',
    failed: 'KMS_REFUSED',
    garbled: 'KMS_ANSWER_INVALID',
  });
  let chain: string[];
  try {
    chain = decodeJson('SignCertResponse', JSON.stringify(answer)).certificate_chain;
  } catch (thrown) {
    throw new DstackError('KMS_ANSWER_INVALID', `SignCert at ${provider.url} answered with something else`, {
      value: provider.url,
      cause: thrown,
    });
  }
  const [leaf] = chain;
  if (leaf !== undefined && (await certifies(leaf, key))) return chain;
  throw new DstackError('KMS_ANSWER_INVALID', `SignCert at ${provider.url} certified another key`, {
    field: 'certificate_chain',
    value: provider.url,
  });
}

/** Whether the certificate is for this key. */
async function certifies(leaf: string, key: P256Key): Promise<boolean> {
  const { createPublicKey } = await import('node:crypto');
  try {
    return createPublicKey(leaf).export({ format: 'der', type: 'spki' }).equals(key.spkiDer);
  } catch {
    return false;
  }
}

/** SignCert: a certificate for a key of the app, signed by the app's own authority below the root of the KMS. */
import { DstackError } from '../../src/errors.ts';
import { decodeCsr, verifyCsr } from '../../src/keys/csr.ts';
import { decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { encodeAppInfo } from '../../src/tdx/app-info-extension.ts';
import { decodeVersioned, encodeVersioned, strip } from '../../src/tdx/attestation.ts';
import { issueCertificate } from '../../src/x509/x509.ts';
import { appAuthority } from './derive.ts';
import { identify } from './evidence.ts';
import { authorise } from './policy.ts';
import type { KmsService } from './service.ts';

/** what certificates of apps are for */
const USAGE = 'app:custom';

export interface SigningRequest {
  readonly version: number;
  readonly csr: Uint8Array;
  readonly signature: Uint8Array;
  readonly vmConfig: string;
}

/**
 * Checks a request and signs it. The evidence inside decides what the certificate may say, whoever sent it.
 * @returns [leaf, app CA, root CA], each one PEM
 */
export async function signRequest(service: KmsService, request: SigningRequest): Promise<string[]> {
  if (request.version !== 2) {
    throw new DstackError('CSR_INVALID', `requests of version ${request.version} are not signed here, only version 2`);
  }
  const csr = decodeCsr(request.csr);
  verifyCsr(request.csr, request.signature, csr.spkiDer);
  const { attestation } = decodeVersioned(csr.attestation);
  const boot = await identify(attestation, csr.spkiDer, service, request.vmConfig);
  authorise(service.policy, boot);
  const authority = await appAuthority(service.roots, boot.appId);
  const leaf = await issueCertificate(
    {
      commonName: csr.commonName,
      organization: csr.organization,
      altNames: csr.altNames,
      serverAuth: csr.serverAuth,
      clientAuth: csr.clientAuth,
      notBefore: csr.notBefore,
      notAfter: csr.notAfter,
      appId: boot.appId,
      usage: USAGE,
      appInfo: csr.withAppInfo ? encodeAppInfo(decodeAppInfo(attestation)) : undefined,
      attestation: csr.withQuote ? encodeVersioned(strip(attestation)) : undefined,
    },
    { spkiDer: csr.spkiDer },
    authority,
  );
  return [leaf, authority.certificate, service.roots.ca.certificate];
}

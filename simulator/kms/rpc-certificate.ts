/** The certificate a KMS shows to its clients: its name, its purpose, and evidence that it runs in a TD itself. */
import { parseAppCompose } from '../../src/config/app-compose.ts';
import { certReportData } from '../../src/keys/report-data.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { type Attestation, encodeVersioned, strip, tdxQuote } from '../../src/tdx/attestation.ts';
import { issueCertificate } from '../../src/x509/x509.ts';
import { bootEvents, evidence, instanceOf } from '../canned-evidence.ts';
import type { MockPki } from '../pki.ts';
import { type Faults, spoil } from './faults.ts';
import { freshRoots, type KmsRoots } from './roots.ts';

const USAGE = 'kms:rpc';

export interface ServerIdentity {
  /** PEM */
  readonly key: string;
  readonly certificate: string;
}

/** Makes a certificate for a host name or an IP address. Without a PKI it carries no evidence, which clients accept. */
export async function rpcCertificate(
  roots: KmsRoots,
  domain: string,
  pki: MockPki | undefined,
  faults: Faults,
): Promise<ServerIdentity> {
  const key = freshTlsKey();
  // an impostor can copy every name, but not the key of the root
  const { ca } = faults.wrongCert ? await freshRoots() : roots;
  const attestation = pki === undefined ? undefined : kmsEvidence(pki, certReportData(key.spkiDer), faults);
  const certificate = await issueCertificate(
    {
      commonName: domain,
      altNames: [domain],
      usage: faults.wrongUsage ? 'app:custom' : USAGE,
      attestation: attestation && encodeVersioned(strip(attestation)),
    },
    key,
    { certificate: ca.certificate, key: ca.key },
  );
  return { key: privateKeyPem(key), certificate };
}

/** Evidence of the TD that this KMS would run in. */
function kmsEvidence(pki: MockPki, reportData: Uint8Array, faults: Faults): Attestation {
  const document = { manifest_version: 2, name: 'dstack-sim kms', runner: 'docker-compose', key_provider: 'local' };
  const compose = parseAppCompose(Buffer.from(JSON.stringify(document)));
  const events = bootEvents(compose, 1, instanceOf(compose, new Uint8Array(32)));
  const honest = evidence(pki, events, reportData, '{}');
  if (!faults.badQuote) return honest;
  return { ...honest, platform: { kind: 'tdx', quote: spoil(tdxQuote(honest)), eventLog: [] } };
}

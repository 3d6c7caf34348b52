/**
 * SignCert: certificates for keys of this app, signed by the app's authority inside the KMS. The connection trusts the
 * KMS root that the boot has pinned, demands the usage of a KMS, and nothing else; the answer is checked against the same root before anybody gets it.
 * Source: dstack keys and certificates, signing; services, KMS client messages.
 */
import { toHex } from '../codec/hex.ts';
import { decodeJsonValue } from '../codec/prpc-json.ts';
import type { AppKeys } from '../config/app-keys.ts';
import { DstackError } from '../errors.ts';
import { encodeCsr, signCsr } from '../keys/csr.ts';
import type { P256Key } from '../keys/derive.ts';
import { type ClientCertificate, selfSignedCertificate, tempCertificate } from '../keys/temp-cert.ts';
import { type Attestation, encodeVersioned, strip } from '../tdx/attestation.ts';
import { checkChain, parsePemCertificate } from '../x509/x509.ts';
import type { CertifyRequest } from './certify-request.ts';
import { type KmsObserver, observed } from './kms-contact.ts';
import { callRaTls, KMS_USAGE } from './ra-tls-client.ts';

const API_VERSION = 2;

/** Keys that a KMS has given. */
export type KmsKeys = Pick<AppKeys, 'caCert' | 'keyProvider'>;

/** One client certificate serves a process: it costs a quote. Dropped together with the keys. */
const clients = new WeakMap<KmsKeys, Promise<ClientCertificate>>();

/**
 * Asks the KMS to certify `key`.
 * @param attest evidence over 64 bytes of report data; taken once for the key, and once a process for the connection
 * @param tell is told how the call ended, once it was made
 * @returns [leaf, app CA, root CA], each one PEM with trailing newline
 * @throws KMS_UNREACHABLE, KMS_TIMEOUT, KMS_REFUSED, KMS_ANSWER_INVALID (no chain for this key under the pinned root), CERT_*, QUOTE_*
 */
export async function signWithKms(
  keys: KmsKeys,
  key: P256Key,
  request: CertifyRequest,
  attest: (reportData: Uint8Array) => Promise<Attestation>,
  attestation: Attestation,
  tell?: KmsObserver,
): Promise<string[]> {
  const { keyProvider, caCert } = keys;
  if (keyProvider.kind !== 'kms')
    throw new DstackError('KEY_PROVIDER_UNSUPPORTED', 'these keys do not come from a KMS');
  const csr = encodeCsr({
    spkiDer: key.spkiDer,
    commonName: request.commonName,
    altNames: request.altNames ?? [],
    serverAuth: request.serverAuth ?? false,
    clientAuth: request.clientAuth ?? false,
    withQuote: request.withQuote ?? false,
    withAppInfo: request.withAppInfo ?? false,
    notBefore: request.notBefore,
    notAfter: request.notAfter,
    attestation: encodeVersioned(attestation, request.form), // unstripped: the KMS strips what it puts into the certificate
  });
  const message = {
    api_version: API_VERSION,
    csr: toHex(csr),
    signature: toHex(signCsr(csr, key)),
    vm_config: attestation.config,
  };
  const client = await clientCertificate(keys, keyProvider, attest);
  const call = () =>
    callRaTls(keyProvider.url, 'SignCert', message, {
      client,
      // any app has certificates under this root; only the KMS has one for this usage
      peer: { root: caCert, usage: KMS_USAGE, publicCa: keyProvider.tmpCaCert || undefined, evidence: 'ignore' },
      unreachable: 'KMS_UNREACHABLE',
      late: 'KMS_TIMEOUT',
      failed: 'KMS_REFUSED',
      garbled: 'KMS_ANSWER_INVALID',
    });
  return observed(async () => {
    const chain = readChain(await call(), keyProvider.url);
    checkAnswer(chain, key, caCert, keyProvider.url);
    return chain;
  }, tell);
}

function clientCertificate(
  keys: KmsKeys,
  { tmpCaCert, tmpCaKey }: Extract<AppKeys['keyProvider'], { kind: 'kms' }>,
  attest: (reportData: Uint8Array) => Promise<Attestation>,
): Promise<ClientCertificate> {
  const known = clients.get(keys);
  if (known !== undefined) return known;
  const evidence = async (reportData: Uint8Array) => encodeVersioned(strip(await attest(reportData)));
  const made =
    tmpCaCert === '' // this KMS gave none
      ? selfSignedCertificate(evidence)
      : tempCertificate({ certificate: tmpCaCert, key: tmpCaKey }, evidence);
  clients.set(keys, made);
  made.catch(() => clients.delete(keys)); // tried again next time
  return made;
}

const unusable = (url: string, why: string, cause?: unknown): DstackError =>
  new DstackError('KMS_ANSWER_INVALID', `SignCert at ${url} answered ${why}`, {
    field: 'certificate_chain',
    value: url,
    cause,
  });

function readChain(answer: unknown, url: string): string[] {
  try {
    const { certificate_chain } = decodeJsonValue('SignCertResponse', answer);
    if (certificate_chain.length > 0) return certificate_chain.map((pem) => `${pem.trimEnd()}\n`);
  } catch (thrown) {
    throw unusable(url, 'with something else', thrown);
  }
  throw unusable(url, 'with an empty chain');
}

/** The leaf must be for our key and lead to our root; which times it has was for the app to choose. */
function checkAnswer(chain: readonly string[], key: P256Key, root: string, url: string): void {
  let spki: Uint8Array;
  try {
    const presented = chain.map((pem) => parsePemCertificate(pem));
    const [leaf] = checkChain(presented, { root: parsePemCertificate(root, 'the trusted root'), at: 'any' });
    spki = leaf?.spki ?? new Uint8Array();
  } catch (thrown) {
    throw unusable(url, 'with a chain that does not hold', thrown);
  }
  if (toHex(spki) !== toHex(key.spkiDer)) throw unusable(url, 'with a certificate for another key');
}

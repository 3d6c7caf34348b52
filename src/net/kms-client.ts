/**
 * The KMS as a guest uses it: show evidence, get the keys of the app. Each address is one source: it is asked for a
 * temporary CA, then, with a certificate of that CA and a quote in it, for the keys. Source: dstack services, KMS client.
 */
import { decodeJson } from '../codec/prpc-json.ts';
import type { Message, MessageName } from '../codec/prpc-messages.ts';
import type { AppKeys } from '../config/app-keys.ts';
import { DstackError, errorChain, toDstackError } from '../errors.ts';
import { isK256Scalar } from '../keys/k256-scalar.ts';
import { tempCertificate } from '../keys/temp-cert.ts';
import { wipe } from '../sys/files.ts';
import { type Attestation, encodeVersioned, strip } from '../tdx/attestation.ts';
import * as ui from '../ui.ts';
import { parsePemCertificate } from '../x509/x509.ts';
import type { EvidenceRules } from './peer-evidence.ts';
import { callRaTls, type PeerRules, type RaTlsOptions } from './ra-tls-client.ts';

export interface AppKeysRequest {
  /** base URLs, asked in this order until one gives keys */
  readonly urls: readonly string[];
  /** text of vm_config, sent as it is */
  readonly vmConfig: string;
  /** evidence of this guest over 64 bytes of report data */
  readonly attest: (reportData: Uint8Array) => Promise<Attestation>;
  /** how evidence in the certificate of the KMS is judged */
  readonly evidenceRules?: EvidenceRules;
  /** PEM: the root that the KMS must show already when it is asked for the temporary CA; default: any */
  readonly pinnedRoot?: string | undefined;
  /** `kms:rpc` unless a person has chosen the address: undefined does not look at the usage */
  readonly usage?: string | undefined;
  /** called as soon as a source has given keys, before they are used */
  readonly onIssued?: (issued: { readonly osImageHash: Uint8Array }) => Promise<void>;
  /** limits for one request in milliseconds: the whole of it (default 60 000), and connecting (default 5 000) */
  readonly timeoutMs?: number;
  readonly connectTimeoutMs?: number;
}

export const KMS_USAGE = 'kms:rpc';
const API_VERSION = 1;

/**
 * Gets the keys of this app from the first source that gives them. The caller wipes them.
 * @throws the error of the FIRST source, as the cause of one that has its code: KMS_UNREACHABLE (down), KMS_TIMEOUT (slow),
 *   KMS_REFUSED (says no), KMS_ANSWER_INVALID (answers nonsense), CERT_* and EVIDENCE_* and COLLATERAL_* (not who it
 *   should be), CONFIG_INVALID (address). Failures to make our own evidence are thrown as they are.
 */
export async function requestAppKeys(request: AppKeysRequest): Promise<AppKeys> {
  if (request.urls.length === 0)
    throw new DstackError('KMS_URLS_MISSING', 'no KMS URLs are set', { field: 'kms_urls' });
  let ownFailure: unknown;
  const attest = (reportData: Uint8Array) =>
    request.attest(reportData).catch((thrown) => {
      ownFailure = thrown;
      throw thrown;
    });
  let first: DstackError | undefined;
  for (const url of request.urls) {
    try {
      return await askSource(kmsBase(url), { ...request, attest });
    } catch (thrown) {
      if (ownFailure !== undefined) throw thrown; // no other KMS can help
      const failure = toDstackError(thrown, 'KMS_UNREACHABLE');
      first ??= failure;
      if (request.urls.length > 1) ui.warn(`no keys from ${url}: ${errorChain(failure)} [${failure.code}]`);
    }
  }
  const { code, field, value, hint } = first as DstackError;
  const all = request.urls.length === 1 ? 'KMS' : `any of ${request.urls.length} KMS; the first one`;
  throw new DstackError(code, `failed to get app keys from ${all}`, { cause: first, field, value, hint });
}

/** The address with the mount of the service behind it, as the key file names it. */
export function kmsBase(url: string): string {
  const base = url.trim().replace(/\/+$/, '');
  if (!/^https:\/\//i.test(base)) {
    throw new DstackError('CONFIG_INVALID', `KMS address ${JSON.stringify(url)} is not an https URL`, {
      field: 'kms_urls',
      value: url,
    });
  }
  return base.endsWith('/prpc') ? base : `${base}/prpc`;
}

async function askSource(base: string, request: AppKeysRequest): Promise<AppKeys> {
  const { evidenceRules, pinnedRoot } = request;
  const first: PeerRules | 'any' = pinnedRoot === undefined ? 'any' : { root: pinnedRoot, evidence: 'ignore' };
  const ca = await call(base, 'GetTempCaCert', {}, 'GetTempCaCertResponse', { ...limits(request), peer: first });
  const pubkey = publicKeyOf(ca.ca_cert, base);
  const temporary = { certificate: ca.temp_ca_cert, key: ca.temp_ca_key };
  const client = await tempCertificate(temporary, async (reportData) =>
    encodeVersioned(strip(await request.attest(reportData))),
  );
  // from here on the peer is who the first answer said, and says in its certificate that it is a KMS
  const peer = { root: ca.ca_cert, usage: request.usage, evidenceRules };
  const body = { api_version: API_VERSION, vm_config: request.vmConfig };
  const options = { ...limits(request), peer, client };
  const answer = checked(await call(base, 'GetAppKey', body, 'AppKeyResponse', options), base);
  await request.onIssued?.({ osImageHash: answer.os_image_hash });
  return {
    diskCryptKey: answer.disk_crypt_key,
    envCryptKey: answer.env_crypt_key,
    k256Key: answer.k256_key,
    k256Signature: answer.k256_signature,
    gatewayAppId: answer.gateway_app_id,
    caCert: ca.ca_cert,
    keyProvider: { kind: 'kms', url: base, pubkey, tmpCaKey: ca.temp_ca_key, tmpCaCert: ca.temp_ca_cert },
  };
}

const limits = ({ timeoutMs, connectTimeoutMs }: AppKeysRequest) => ({
  ...(timeoutMs === undefined ? {} : { timeoutMs }),
  ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
});

const CODES = {
  unreachable: 'KMS_UNREACHABLE',
  late: 'KMS_TIMEOUT',
  failed: 'KMS_REFUSED',
  garbled: 'KMS_ANSWER_INVALID',
} as const;

/** One call of a KMS. @throws the codes above, CERT_*, EVIDENCE_* */
async function call<N extends MessageName>(
  base: string,
  method: string,
  body: unknown,
  answer: N,
  options: RaTlsOptions,
): Promise<Message<N>> {
  const value = await callRaTls(base, method, body, { ...options, ...CODES });
  try {
    return decodeJson(answer, JSON.stringify(value));
  } catch (thrown) {
    throw new DstackError('KMS_ANSWER_INVALID', `${method} at ${base} answered with something else`, {
      value: base,
      cause: thrown,
    });
  }
}

/** SubjectPublicKeyInfo of the root: the id of this key provider. */
function publicKeyOf(caCert: string, base: string): Uint8Array {
  try {
    return parsePemCertificate(caCert).spki;
  } catch {
    throw unusable(base, 'ca_cert', 'is not one certificate');
  }
}

const unusable = (base: string, field: string, why: string): DstackError =>
  new DstackError('KMS_ANSWER_INVALID', `${field} from ${base} ${why}`, { field, value: base });

const LENGTHS = { disk_crypt_key: 32, env_crypt_key: 32, k256_key: 32, k256_signature: 65 } as const;

/** Keys of a wrong shape are refused here, where they can still be told apart from a wrong disk. */
function checked(answer: Message<'AppKeyResponse'>, base: string): Message<'AppKeyResponse'> {
  try {
    for (const [field, length] of Object.entries(LENGTHS) as [keyof typeof LENGTHS, number][]) {
      const found = answer[field].length;
      if (found !== length) throw unusable(base, field, `has ${found} bytes instead of ${length}`);
    }
    if (!isK256Scalar(answer.k256_key)) throw unusable(base, 'k256_key', 'is no secp256k1 key');
    if (answer.disk_crypt_key.every((byte) => byte === 0)) throw unusable(base, 'disk_crypt_key', 'is all zero');
    return answer;
  } catch (thrown) {
    wipe(answer.disk_crypt_key, answer.env_crypt_key, answer.k256_key);
    throw thrown;
  }
}

/**
 * The KMS as a guest uses it: show evidence, get the keys of the app. Each address is one source: it is asked for a
 * temporary CA, then, with a certificate of that CA (or a self-signed one) and a quote in it, for the keys. Source: dstack services, KMS client.
 */
import { setTimeout } from 'node:timers/promises';
import { decodeJsonValue } from '../codec/prpc-json.ts';
import type { Message, MessageName } from '../codec/prpc-messages.ts';
import type { AppKeys } from '../config/app-keys.ts';
import { DstackError, type ErrorCode, errorChain, toDstackError } from '../errors.ts';
import { isK256Scalar } from '../keys/k256-scalar.ts';
import { selfSignedCertificate, tempCertificate } from '../keys/temp-cert.ts';
import { wipe } from '../sys/files.ts';
import { type Attestation, encodeVersioned, strip } from '../tdx/attestation.ts';
import * as ui from '../ui.ts';
import { parsePemCertificate } from '../x509/x509.ts';
import type { EvidenceRules } from './peer-evidence.ts';
import { callRaTls, KMS_USAGE, type PeerRules, type RaTlsOptions } from './ra-tls-client.ts';

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
  /**
   * for so long, in milliseconds, all addresses are asked again, with growing pauses, while nobody can be reached:
   * a KMS may start later than its guests. Default 0
   */
  readonly retryForMs?: number;
  /** told before each pause, in milliseconds; tests replace the pause itself */
  readonly onPause?: (ms: number) => void;
  readonly pause?: (ms: number) => Promise<void>;
  /** limits for one request in milliseconds: the whole of it (default 60 000), and connecting (default 5 000) */
  readonly timeoutMs?: number;
  readonly connectTimeoutMs?: number;
}

export { KMS_USAGE };

const API_VERSION = 1;

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 8000;
/** nobody was there: only time can help */
const ABSENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['KMS_UNREACHABLE', 'KMS_TIMEOUT']);

interface SourceFailure {
  readonly url: string;
  readonly error: DstackError;
}

/**
 * Gets the keys of this app from the first source that gives them. The caller wipes them.
 * @throws an error with the code of the FIRST source and the words of every one: KMS_UNREACHABLE (down), KMS_TIMEOUT (slow),
 *   KMS_REFUSED (says no), KMS_ANSWER_INVALID (answers nonsense), CERT_* and EVIDENCE_* and COLLATERAL_* (not who it
 *   should be), CONFIG_INVALID (address). Failures to make our own evidence, or to measure, are thrown as they are: no
 *   other KMS can help, and what was measured must not be measured twice.
 */
export async function requestAppKeys(request: AppKeysRequest): Promise<AppKeys> {
  const { urls, retryForMs = 0, pause = setTimeout } = request;
  if (urls.length === 0) throw new DstackError('KMS_URLS_MISSING', 'no KMS URLs are set', { field: 'kms_urls' });
  const began = performance.now();
  let paused = 0;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const answer = await askSources(request);
    if ('diskCryptKey' in answer) return answer;
    const spent = Math.max(paused, performance.now() - began);
    const absent = answer.every(({ error }) => ABSENT.has(error.code));
    if (!absent || spent + pauseMs > retryForMs) throw allFailed(answer);
    request.onPause?.(pauseMs);
    await pause(pauseMs);
    paused += pauseMs;
  }
}

/** Asks one after the other. @returns keys, or why each of them gave none */
async function askSources(request: AppKeysRequest): Promise<AppKeys | readonly SourceFailure[]> {
  let own: { readonly failure: unknown } | undefined;
  const ours =
    <A extends readonly unknown[], R>(work: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      work(...args).catch((failure: unknown) => {
        own = { failure };
        throw failure;
      });
  const { urls, attest, onIssued = async () => {} } = request;
  const failures: SourceFailure[] = [];
  for (const url of urls) {
    try {
      return await askSource(kmsBase(url), { ...request, attest: ours(attest), onIssued: ours(onIssued) });
    } catch (thrown) {
      if (own !== undefined) throw own.failure;
      const error = toDstackError(thrown, 'KMS_UNREACHABLE');
      failures.push({ url, error });
      if (urls.length > 1) ui.warn(`no keys from ${url}: ${errorChain(error)} [${error.code}]`);
    }
  }
  return failures;
}

function allFailed(failures: readonly SourceFailure[]): DstackError {
  const [{ error: first }] = failures as readonly [SourceFailure];
  const { code, field, value, hint } = first;
  if (failures.length === 1) {
    return new DstackError(code, 'failed to get app keys from KMS', { cause: first, field, value, hint });
  }
  const told = failures.map(({ url, error }) => `${url}: ${errorChain(error)} [${error.code}]`).join('; ');
  return new DstackError(code, `failed to get app keys from any of ${failures.length} KMS: ${told}`, {
    field,
    value,
    hint,
  });
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
  const { root, temporary } = await introduce(base, request);
  const pubkey = publicKeyOf(root, base);
  const attest = async (reportData: Uint8Array) => encodeVersioned(strip(await request.attest(reportData)));
  const client = await (temporary === undefined ? selfSignedCertificate(attest) : tempCertificate(temporary, attest));
  // from here on the peer is who the first answer said, and says in its certificate that it is a KMS
  const peer = { root, usage: request.usage, publicCa: temporary?.certificate, evidenceRules: request.evidenceRules };
  const body = { api_version: API_VERSION, vm_config: request.vmConfig };
  const options = { ...limits(request), peer, client };
  const answer = checked(await call(base, 'GetAppKey', body, 'AppKeyResponse', options), base);
  try {
    await request.onIssued?.({ osImageHash: answer.os_image_hash });
  } catch (thrown) {
    wipe(answer.disk_crypt_key, answer.env_crypt_key, answer.k256_key);
    throw thrown;
  }
  return {
    diskCryptKey: answer.disk_crypt_key,
    envCryptKey: answer.env_crypt_key,
    k256Key: answer.k256_key,
    k256Signature: answer.k256_signature,
    gatewayAppId: answer.gateway_app_id,
    caCert: root,
    keyProvider: {
      kind: 'kms',
      url: base,
      pubkey,
      tmpCaKey: temporary?.key ?? '',
      tmpCaCert: temporary?.certificate ?? '',
    },
  };
}

/** What a source says of itself. */
interface Introduction {
  /** PEM of its root */
  readonly root: string;
  /** the CA that signs certificates of its clients; undefined: it looks at the evidence in a certificate, whoever signed it */
  readonly temporary: { readonly certificate: string; readonly key: string } | undefined;
}

/**
 * Asks for the temporary CA, which everybody may have and which proves nothing, and where there is none for the root alone.
 * Nothing is lost by a host that hides the temporary CA: the evidence in the certificate is what counts.
 */
async function introduce(base: string, request: AppKeysRequest): Promise<Introduction> {
  const { pinnedRoot } = request;
  const peer: PeerRules | 'any' = pinnedRoot === undefined ? 'any' : { root: pinnedRoot, evidence: 'ignore' };
  const options = { ...limits(request), peer };
  try {
    const ca = await call(base, 'GetTempCaCert', {}, 'GetTempCaCertResponse', options);
    const given = ca.temp_ca_cert !== '' || ca.temp_ca_key !== '';
    return { root: ca.ca_cert, temporary: given ? { certificate: ca.temp_ca_cert, key: ca.temp_ca_key } : undefined };
  } catch (refusal) {
    if (!hasNoTemporaryCa(refusal)) throw refusal;
    ui.info(`${base} gives no temporary CA: the client certificate is self-signed`);
    return { root: (await call(base, 'GetMeta', {}, 'GetMetaResponse', options)).ca_cert, temporary: undefined };
  }
}

/** The method does not exist there: prpc says so with 400 or 404. */
const hasNoTemporaryCa = (refusal: unknown): boolean =>
  refusal instanceof DstackError &&
  ['KMS_REFUSED', 'KMS_ANSWER_INVALID'].includes(refusal.code) &&
  /not found|status 404/i.test(errorChain(refusal));

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
    return decodeJsonValue(answer, value);
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
    if (!isK256Scalar(answer.k256_key)) throw unusable(base, 'k256_key', 'is not a secp256k1 key');
    if (answer.disk_crypt_key.every((byte) => byte === 0)) throw unusable(base, 'disk_crypt_key', 'is all zero');
    return answer;
  } catch (thrown) {
    wipe(answer.disk_crypt_key, answer.env_crypt_key, answer.k256_key);
    throw thrown;
  }
}

/**
 * RPC to peers that prove what they are (KMS, gateway): mutual TLS against one root, then the special usage, the app and
 * the evidence in the peer's certificate. All of it is checked before the first byte is sent, which is earlier than the
 * reference does it. Source: dstack keys and certificates, TLS policies.
 */
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import type { ClientCertificate } from '../keys/temp-cert.ts';
import {
  type Certificate,
  checkChain,
  OID,
  parseCertificate,
  parsePemCertificate,
  readExtension,
} from '../x509/x509.ts';
import { type BootClock, bootClock } from './boot-clock.ts';
import { type EvidenceRules, evidenceIn, verifyPeerEvidence } from './peer-evidence.ts';
import { type CallOptions, callJson } from './prpc-client.ts';

/** What the certificate of a KMS server says in its usage extension. */
export const KMS_USAGE = 'kms:rpc';

export interface PeerRules {
  /** the one trusted root, PEM */
  readonly root: string;
  /** default: the host of the URL. `false` does not look at names */
  readonly hostName?: string | false | undefined;
  /** required value of the usage extension, such as `kms:rpc`; undefined does not look at it */
  readonly usage?: string | undefined;
  /** PEM of a CA whose key everybody can have (the temporary CA of a KMS): nobody below it is believed */
  readonly publicCa?: string | undefined;
  /** judges the app id (hex, empty when the certificate has none); undefined does not look at it */
  readonly acceptsApp?: ((appId: string) => boolean) | undefined;
  /**
   * `if-present` verifies evidence that is there; `ignore` does not look at it. Default `if-present`, and `required` where
   * the rules name TCB statuses: a policy is not to be had around by showing nothing
   */
  readonly evidence?: 'required' | 'if-present' | 'ignore' | undefined;
  readonly evidenceRules?: EvidenceRules | undefined;
  /** milliseconds since 1970, default what `clock` says */
  readonly now?: number | undefined;
  /** default that of this machine */
  readonly clock?: BootClock | undefined;
}

export interface RaTlsOptions extends Omit<CallOptions, 'tls'> {
  readonly client?: ClientCertificate | undefined;
  /** `any`: the peer is not checked at all (GetTempCaCert, whose answer is then the root for everything else) */
  readonly peer: PeerRules | 'any';
  readonly connectTimeoutMs?: number | undefined;
}

const TIMEOUT_MS = 60_000;

/**
 * `POST <url>/<method>?json` over RA-TLS.
 * @param url https URL including `/prpc`
 * @throws CONFIG_INVALID (address), CERT_* and EVIDENCE_*, COLLATERAL_*, ATTESTATION_INVALID (peer refused), else the codes of the options
 */
export function callRaTls(url: string, method: string, body: unknown, options: RaTlsOptions): Promise<unknown> {
  const { client, peer, connectTimeoutMs, ...rest } = options;
  const host = URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : '';
  const verifyPeer = peer === 'any' ? peer : (chain: readonly Uint8Array[]) => checkPeer(chain, host, peer);
  return callJson(url, method, body, {
    timeoutMs: TIMEOUT_MS,
    ...rest,
    tls: { client, verifyPeer, connectTimeoutMs },
  });
}

/**
 * Judges the certificates of a server.
 * @param chain DER, leaf first
 * @throws CERT_*, EVIDENCE_*, COLLATERAL_*, ATTESTATION_INVALID, CLOCK_BEHIND
 */
export async function checkPeer(chain: readonly Uint8Array[], host: string, rules: PeerRules): Promise<void> {
  const { hostName = host, clock = bootClock } = rules;
  const path = checkChain(chain.map(parseCertificate), {
    root: parsePemCertificate(rules.root, 'the trusted root'),
    purpose: 'server',
    at: rules.now ?? (await clock.now()),
    ...(hostName === false ? {} : { hostName }),
  });
  const [leaf] = path as readonly [Certificate];
  if (rules.publicCa !== undefined) refuseBelow(path, parsePemCertificate(rules.publicCa, 'the temporary CA'));
  // the chain is good and in time, so its dates are over
  const notBefore = Math.max(...path.map((link) => link.notBefore));
  if (rules.now === undefined) await clock.saw(notBefore, 'the certificate of a peer');
  checkUsage(leaf, rules.usage);
  checkApp(leaf, rules.acceptsApp);
  const mode = rules.evidence ?? (rules.evidenceRules?.allowed === undefined ? 'if-present' : 'required');
  if (mode === 'ignore') return;
  const evidence = evidenceIn(leaf);
  if (evidence !== undefined) {
    await verifyPeerEvidence(evidence, leaf.spki, { now: rules.now, clock, ...rules.evidenceRules });
  } else if (mode === 'required') {
    throw new DstackError('EVIDENCE_INVALID', 'the certificate of the peer carries no evidence', {
      field: OID.attestation,
    });
  } else {
    rules.evidenceRules?.onJudged?.(undefined);
  }
}

function refuseBelow(path: readonly Certificate[], ca: Certificate): void {
  if (path.every(({ spki }) => Buffer.compare(spki, ca.spki) !== 0)) return;
  throw new DstackError('CERT_UNTRUSTED', 'the certificate of the peer is signed with a key that everybody can have', {
    field: 'issuer',
    value: ca.commonName,
  });
}

function checkUsage(leaf: Certificate, wanted: string | undefined): void {
  if (wanted === undefined) return;
  const found = Buffer.from(readExtension(leaf, OID.usage) ?? []).toString('utf8');
  if (found !== wanted) {
    throw new DstackError(
      'CERT_USAGE_WRONG',
      `the certificate of the peer is for ${found || 'no'} usage, not ${wanted}`,
      {
        field: OID.usage,
        value: found,
      },
    );
  }
}

function checkApp(leaf: Certificate, accepts: ((appId: string) => boolean) | undefined): void {
  if (accepts === undefined) return;
  const found = toHex(readExtension(leaf, OID.appId) ?? new Uint8Array());
  if (!accepts(found)) {
    throw new DstackError('CERT_APP_MISMATCH', `the certificate of the peer belongs to app ${found || '(none)'}`, {
      field: OID.appId,
      value: found,
    });
  }
}

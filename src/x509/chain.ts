/**
 * Checking a certificate chain against exactly one root (RFC 5280, 6.1, as far as chains of dstack need it; names as in
 * RFC 9525). The system's certificate store is never asked.
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { DstackError, type ErrorCode } from '../errors.ts';
import { type Certificate, isSignedBy, parseCertificate } from './certificate.ts';
import { DerReader, oidText, TAG } from './der.ts';
import { readOctetString } from './extensions.ts';
import { fromPem, toPem } from './pem.ts';

export interface ChainRules {
  /** the one trusted root, PEM; it must be a CA itself */
  readonly root: string;
  /** what the leaf is used for: an extended key usage, where there is one, must allow it. Undefined does not look at it */
  readonly purpose?: 'server' | 'client' | undefined;
  /** DNS name or IP address that the leaf must be for; its common name does not count */
  readonly hostName?: string | undefined;
  /** milliseconds since 1970, default now; `any` does not look at the validity */
  readonly now?: number | 'any' | undefined;
}

/** A leaf whose chain was checked. */
export interface TrustedLeaf {
  /** SubjectPublicKeyInfo */
  readonly spkiDer: Uint8Array;
  /** milliseconds since 1970: the latest beginning of validity in the chain, root included */
  readonly notBefore: number;
  /** the payload of an extension of dstack, undefined when it is not there. @throws CERT_INVALID when it is not wrapped twice */
  extension(oid: string): Uint8Array | undefined;
}

/** Certificates a peer may present: real chains have three. */
const MAX_CERTIFICATES = 8;
const KEY_USAGE = '2.5.29.15';
const BASIC_CONSTRAINTS = '2.5.29.19';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const PURPOSES = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const;
const DIGITAL_SIGNATURE = 0x80;

const nameOf = ({ commonName }: Certificate): string => JSON.stringify(commonName.slice(0, 80));

const refuse = (code: ErrorCode, why: string, details: { field?: string; value?: string; cause?: unknown } = {}) =>
  new DstackError(code, why, details);

/**
 * @param presented certificates in DER, leaf first; the others may come in any order
 * @throws CERT_INVALID (damaged, duplicate extension, unknown critical extension, leaf that is a CA), CERT_UNTRUSTED,
 *   CERT_EXPIRED, CERT_NOT_YET_VALID, CERT_USAGE_WRONG, CERT_NAME_MISMATCH
 */
export async function checkChain(presented: readonly Uint8Array[], rules: ChainRules): Promise<TrustedLeaf> {
  const [first, ...others] = presented;
  if (first === undefined) throw refuse('CERT_UNTRUSTED', 'the peer presented no certificate');
  if (presented.length > MAX_CERTIFICATES) {
    throw refuse('CERT_UNTRUSTED', `the peer presented ${presented.length} certificates`);
  }
  const root = readRoot(rules.root);
  const leaf = parseCertificate(first);
  if (leaf.ca) throw refuse('CERT_INVALID', `certificate ${nameOf(leaf)} is a CA, but used as that of a peer`);
  const path = findPath(leaf, others.map(parseCertificate), root);
  const now = rules.now ?? Date.now();
  if (now !== 'any') for (const link of [leaf, ...path]) checkTime(link, now);
  if (rules.purpose !== undefined) checkPurpose(leaf, rules.purpose);
  if (rules.hostName !== undefined) checkHost(leaf, rules.hostName);
  return {
    spkiDer: new Uint8Array(leaf.spki),
    notBefore: Math.max(...[leaf, ...path].map((link) => link.notBefore)),
    extension(oid) {
      const value = leaf.extensions.get(oid);
      return value === undefined ? undefined : new Uint8Array(readOctetString(value));
    },
  };
}

const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g;

function readRoot(pem: string): Certificate {
  const blocks = pem.match(PEM) ?? [];
  if (blocks.length !== 1) {
    throw refuse('CERT_INVALID', `the trusted root must be one certificate, the text holds ${blocks.length}`);
  }
  const root = parseCertificate(fromPem(blocks[0]!, 'CERTIFICATE'));
  if (!root.ca) throw refuse('CERT_INVALID', `the trusted root ${nameOf(root)} is no CA`);
  return root;
}

/** Issuers from that of the leaf up to the root. Depth first over what was presented; each is used once. */
function findPath(leaf: Certificate, others: readonly Certificate[], root: Certificate): Certificate[] {
  const climb = (
    from: Certificate,
    left: readonly Certificate[],
    above: readonly Certificate[],
  ): Certificate[] | undefined => {
    if (isIssued(from, root, above.length)) return [...above, root];
    for (const issuer of left) {
      if (!issuer.ca || !isIssued(from, issuer, above.length)) continue;
      const rest = left.filter((link) => link !== issuer);
      const path = climb(issuer, rest, [...above, issuer]);
      if (path !== undefined) return path;
    }
    return undefined;
  };
  const path = climb(leaf, others, []);
  if (path !== undefined) return path;
  throw refuse('CERT_UNTRUSTED', `certificate ${nameOf(leaf)} does not lead to the trusted root ${nameOf(root)}`);
}

/** Issuer name, signature, and a path length that allows `below` further CAs between the issuer and the leaf. */
function isIssued(link: Certificate, issuer: Certificate, below: number): boolean {
  if (Buffer.compare(link.issuer, issuer.subject) !== 0) return false;
  const limit = pathLength(issuer);
  if (limit !== undefined && below > limit) return false;
  try {
    return isSignedBy(link.signed, issuer);
  } catch {
    return false; // a key of another kind than the signature
  }
}

/** pathLenConstraint; one that is not a small number allows nothing. */
function pathLength({ extensions }: Certificate): number | undefined {
  const value = extensions.get(BASIC_CONSTRAINTS);
  if (value === undefined) return undefined;
  const constraints = new DerReader(value).enter();
  constraints.optional(0x01); // cA
  const length = constraints.optional(TAG.integer)?.content;
  if (length === undefined) return undefined;
  return length.length === 1 && length[0]! < 0x80 ? length[0] : 0;
}

function checkTime(certificate: Certificate, now: number): void {
  const name = nameOf(certificate);
  const [from, to] = [new Date(certificate.notBefore), new Date(certificate.notAfter)];
  if (now < from.getTime()) {
    throw refuse('CERT_NOT_YET_VALID', `certificate ${name} is not valid before ${from.toISOString()}`, {
      field: 'not_before',
      value: from.toISOString(),
    });
  }
  if (now > to.getTime()) {
    throw refuse('CERT_EXPIRED', `certificate ${name} expired at ${to.toISOString()}`, {
      field: 'not_after',
      value: to.toISOString(),
    });
  }
}

function checkPurpose(leaf: Certificate, purpose: 'server' | 'client'): void {
  const extended = leaf.extensions.get(EXTENDED_KEY_USAGE);
  const usage = leaf.extensions.get(KEY_USAGE);
  let allowed: boolean;
  try {
    const bits = usage === undefined ? DIGITAL_SIGNATURE : (new DerReader(usage).next(TAG.bitString).content[1] ?? 0);
    allowed =
      (bits & DIGITAL_SIGNATURE) !== 0 && (extended === undefined || oids(extended).includes(PURPOSES[purpose]));
  } catch (thrown) {
    throw refuse('CERT_INVALID', `certificate ${nameOf(leaf)} has a damaged usage`, { cause: thrown });
  }
  if (!allowed) {
    throw refuse('CERT_USAGE_WRONG', `certificate ${nameOf(leaf)} is not for a TLS ${purpose}`, {
      field: 'extended_key_usage',
    });
  }
}

function oids(sequence: Uint8Array): string[] {
  const list = new DerReader(sequence).enter();
  const out: string[] = [];
  while (list.more) out.push(oidText(list.next(TAG.oid).content));
  return out;
}

function checkHost(leaf: Certificate, hostName: string): void {
  // never the DER itself: node:crypto looks for PEM first, and the evidence inside a certificate holds a PEM chain
  const native = new X509Certificate(toPem('CERTIFICATE', leaf.der));

  const found =
    isIP(hostName) === 0
      ? native.checkHost(hostName, { subject: 'never', partialWildcards: false })
      : native.checkIP(hostName);
  if (found === undefined) {
    throw refuse('CERT_NAME_MISMATCH', `certificate ${nameOf(leaf)} is not for ${hostName}`, {
      field: 'subject_alt_name',
      value: hostName,
    });
  }
}

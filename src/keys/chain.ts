/**
 * Checking a certificate chain against exactly one root (RFC 5280, 6.1, as far as chains of dstack need it; names as in
 * RFC 9525). The system's certificate store is never asked. Signatures and name matching are those of node:crypto.
 */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { DstackError, type ErrorCode } from '../errors.ts';
import { toPem } from './derive.ts';
import { readOctetString } from './extensions.ts';
import { loadX509, type X509 } from './x509.ts';

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
  /** the payload of an extension of dstack, undefined when it is not there. @throws CERT_INVALID when it is not wrapped twice */
  extension(oid: string): Uint8Array | undefined;
}

type Parsed = InstanceType<X509['X509Certificate']>;

interface Link {
  readonly parsed: Parsed;
  readonly native: X509Certificate;
  /** subject for messages */
  readonly name: string;
}

/** Certificates a peer may present: real chains have three. */
const MAX_CERTIFICATES = 8;
const KEY_USAGE = '2.5.29.15';
const ALT_NAME = '2.5.29.17';
const BASIC_CONSTRAINTS = '2.5.29.19';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const UNDERSTOOD: readonly string[] = [KEY_USAGE, ALT_NAME, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE];

const refuse = (code: ErrorCode, why: string, details: { field?: string; value?: string; cause?: unknown } = {}) =>
  new DstackError(code, why, details);

/**
 * @param presented certificates in DER, leaf first; the others may come in any order
 * @throws CERT_INVALID (damaged, duplicate extension, unknown critical extension, leaf that is a CA), CERT_UNTRUSTED,
 *   CERT_EXPIRED, CERT_NOT_YET_VALID, CERT_USAGE_WRONG, CERT_NAME_MISMATCH
 */
export async function checkChain(presented: readonly Uint8Array[], rules: ChainRules): Promise<TrustedLeaf> {
  const x509 = await loadX509();
  const [first, ...others] = presented;
  if (first === undefined) throw refuse('CERT_UNTRUSTED', 'the peer presented no certificate');
  if (presented.length > MAX_CERTIFICATES) {
    throw refuse('CERT_UNTRUSTED', `the peer presented ${presented.length} certificates`);
  }
  const root = readRoot(x509, rules.root);
  const leaf = readLink(x509, first);
  if (isCa(x509, leaf)) throw refuse('CERT_INVALID', `certificate ${leaf.name} is a CA, but used as that of a peer`);
  const path = findPath(
    x509,
    leaf,
    others.map((der) => readLink(x509, der)),
    root,
  );
  const now = rules.now ?? Date.now();
  if (now !== 'any') for (const link of [leaf, ...path]) checkTime(link, now);
  if (rules.purpose !== undefined) checkPurpose(x509, leaf, rules.purpose);
  if (rules.hostName !== undefined) checkHost(leaf, rules.hostName);
  return {
    spkiDer: new Uint8Array(leaf.native.publicKey.export({ format: 'der', type: 'spki' })),
    extension(oid) {
      const found = leaf.parsed.extensions.find(({ type }) => type === oid);
      return found === undefined ? undefined : readOctetString(new Uint8Array(found.value));
    },
  };
}

const PEM = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]*-----END CERTIFICATE-----/g;

function readRoot(x509: X509, pem: string): Link {
  const blocks = pem.match(PEM) ?? [];
  if (blocks.length !== 1) {
    throw refuse('CERT_INVALID', `the trusted root must be one certificate, the text holds ${blocks.length}`);
  }
  const base64 = blocks[0]!.split('-----')[2]!;
  const root = readLink(x509, new Uint8Array(Buffer.from(base64, 'base64')));
  if (!isCa(x509, root)) throw refuse('CERT_INVALID', `the trusted root ${root.name} is no CA`);
  return root;
}

function readLink({ X509Certificate: Parser }: X509, der: Uint8Array): Link {
  let link: Link;
  try {
    // never the DER itself: node:crypto looks for PEM first, and the evidence inside a certificate holds a PEM chain
    const native = new X509Certificate(toPem('CERTIFICATE', der));
    if (!native.raw.equals(der)) throw new Error('bytes are left over behind the certificate');
    link = { parsed: new Parser(new Uint8Array(der)), native, name: JSON.stringify(native.subject.slice(0, 80)) };
    link.parsed.extensions.length; // parsed on demand
  } catch (thrown) {
    throw refuse('CERT_INVALID', 'a certificate cannot be read', { cause: thrown });
  }
  const seen = new Set<string>();
  for (const { type, critical } of link.parsed.extensions) {
    if (seen.has(type)) {
      throw refuse('CERT_INVALID', `extension ${type} of certificate ${link.name} occurs twice`, { field: type });
    }
    if (critical && !UNDERSTOOD.includes(type)) {
      throw refuse('CERT_INVALID', `critical extension ${type} of certificate ${link.name} is unknown`, {
        field: type,
      });
    }
    seen.add(type);
  }
  return link;
}

function isCa(x509: X509, { parsed }: Link): boolean {
  const usage = parsed.getExtension(x509.KeyUsagesExtension);
  const mayAll = usage === null || (usage.usages & x509.KeyUsageFlags.keyCertSign) !== 0;
  return mayAll && parsed.getExtension(x509.BasicConstraintsExtension)?.ca === true;
}

/** Issuers from that of the leaf up to the root. Depth first over what was presented; each is used once. */
function findPath(x509: X509, leaf: Link, others: readonly Link[], root: Link): Link[] {
  const climb = (from: Link, left: readonly Link[], above: readonly Link[]): Link[] | undefined => {
    if (isIssued(x509, from, root, above.length)) return [...above, root];
    for (const issuer of left) {
      if (!isCa(x509, issuer) || !isIssued(x509, from, issuer, above.length)) continue;
      const path = climb(
        issuer,
        left.filter((link) => link !== issuer),
        [...above, issuer],
      );
      if (path !== undefined) return path;
    }
    return undefined;
  };
  const path = climb(leaf, others, []);
  if (path !== undefined) return path;
  throw refuse('CERT_UNTRUSTED', `certificate ${leaf.name} does not lead to the trusted root ${root.name}`);
}

/** Issuer name, signature, and a path length that allows `below` further CAs between the issuer and the leaf. */
function isIssued(x509: X509, link: Link, issuer: Link, below: number): boolean {
  const names = [link.parsed.issuerName, issuer.parsed.subjectName].map((name) => Buffer.from(name.toArrayBuffer()));
  if (!names[0]!.equals(names[1]!)) return false;
  const limit = issuer.parsed.getExtension(x509.BasicConstraintsExtension)?.pathLength;
  if (limit !== undefined && below > limit) return false;
  try {
    return link.native.verify(issuer.native.publicKey);
  } catch {
    return false; // a key of another kind than the signature
  }
}

function checkTime({ parsed, name }: Link, now: number): void {
  const [from, to] = [parsed.notBefore, parsed.notAfter];
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

function checkPurpose(x509: X509, { parsed, name }: Link, purpose: 'server' | 'client'): void {
  const wanted = purpose === 'server' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  const extended = parsed.getExtension(x509.ExtendedKeyUsageExtension);
  const usage = parsed.getExtension(x509.KeyUsagesExtension);
  const allowed = extended === null || extended.usages.includes(wanted);
  if (!allowed || (usage !== null && (usage.usages & x509.KeyUsageFlags.digitalSignature) === 0)) {
    throw refuse('CERT_USAGE_WRONG', `certificate ${name} is not for a TLS ${purpose}`, {
      field: 'extended_key_usage',
    });
  }
}

function checkHost({ native, name }: Link, hostName: string): void {
  const found =
    isIP(hostName) === 0
      ? native.checkHost(hostName, { subject: 'never', partialWildcards: false })
      : native.checkIP(hostName);
  if (found === undefined) {
    throw refuse('CERT_NAME_MISMATCH', `certificate ${name} is not for ${hostName}`, {
      field: 'subject_alt_name',
      value: hostName,
    });
  }
}

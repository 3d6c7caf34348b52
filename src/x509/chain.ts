/**
 * Checking a chain of certificates against exactly one root (RFC 5280, 6.1): the one set of rules for peers, for evidence
 * and for collateral. The system's certificate store is never asked. Two rules are narrower than the RFC: a CA that has the
 * name of its issuer counts for path lengths, and names are compared byte for byte.
 */
import { sameBytes } from '../codec/bytes.ts';
import { DstackError, type ErrorCode } from '../errors.ts';
import { type Certificate, CHAIN_LIMIT } from './certificate.ts';
import { type Crl, isRevoked } from './crl.ts';
import { KEY_USAGE } from './extension-values.ts';
import { isForHost } from './host-name.ts';
import { forbiddenName } from './name-constraints.ts';
import { OID } from './oids.ts';
import { isSignedBy } from './signed.ts';

export interface ChainRules {
  /** the one trusted root; it must be a CA itself */
  readonly root: Certificate;
  /** milliseconds since 1970; `any` does not look at the validity */
  readonly at: number | 'any';
  /**
   * each certificate is issued by the next, and the last one is the root byte for byte. By default those behind the first
   * may come in any order, with the root or without, and some may be useless
   */
  readonly inOrder?: boolean | undefined;
  /** what the first certificate must be, default a leaf */
  readonly first?: 'leaf' | 'ca' | undefined;
  /** what the first is used for: usages, where there are some, must allow it. Undefined does not look at them */
  readonly purpose?: 'server' | 'client' | undefined;
  /** DNS name or IP address that the first must be for; its common name does not count */
  readonly hostName?: string | undefined;
  /** lists that were checked (`checkCrl`): none of the certificates may be on one of its own issuer */
  readonly lists?: readonly Crl[] | undefined;
}

const PURPOSES = { server: OID.serverAuth, client: OID.clientAuth } as const;

const nameOf = ({ commonName }: Certificate): string => JSON.stringify(commonName.slice(0, 80));

const refuse = (code: ErrorCode, why: string, details: { field?: string; value?: string } = {}) =>
  new DstackError(code, why, details);

/**
 * @param chain the certificate that is asked about, then its issuers
 * @returns the path from the first certificate to the root, both included
 * @throws CERT_INVALID (first that is a CA where a leaf is needed or the reverse, root that is not a CA), CERT_UNTRUSTED
 *   (order, signature, path length, name constraint, revoked), CERT_EXPIRED, CERT_NOT_YET_VALID, CERT_USAGE_WRONG,
 *   CERT_NAME_MISMATCH
 */
export function checkChain(chain: readonly Certificate[], rules: ChainRules): readonly Certificate[] {
  const { root, at } = rules;
  const [first, ...others] = chain;
  if (first === undefined) throw refuse('CERT_UNTRUSTED', 'no certificate was presented');
  if (chain.length > CHAIN_LIMIT) throw refuse('CERT_UNTRUSTED', `${chain.length} certificates were presented`);
  if (!root.ca) throw refuse('CERT_INVALID', `the trusted root ${nameOf(root)} is not a CA`);
  if (rules.first === 'ca' && !first.ca) throw refuse('CERT_INVALID', `certificate ${nameOf(first)} is not a CA`);
  if (rules.first !== 'ca' && first.ca) {
    throw refuse('CERT_INVALID', `certificate ${nameOf(first)} is a CA where a leaf is needed`);
  }
  const path = rules.inOrder === true ? checkOrder(chain, root) : findPath(first, others, root);
  if (at !== 'any') for (const link of path) checkTime(link, at);
  for (const link of path) {
    if (isRevoked(link, rules.lists ?? [])) throw refuse('CERT_UNTRUSTED', `certificate ${nameOf(link)} is revoked`);
  }
  if (rules.purpose !== undefined) checkPurpose(path, rules.purpose);
  if (rules.hostName !== undefined && !isForHost(first.altNames, rules.hostName)) {
    throw refuse('CERT_NAME_MISMATCH', `certificate ${nameOf(first)} is not for ${rules.hostName}`, {
      field: 'subject_alt_name',
      value: rules.hostName,
    });
  }
  return path;
}

type Signs = (link: Certificate, issuer: Certificate) => boolean;

function signs(link: Certificate, issuer: Certificate): boolean {
  try {
    return isSignedBy(link.signed, issuer.spki);
  } catch {
    return false; // another algorithm, or a key of another kind than the signature
  }
}

/**
 * Why the last of `below` is not issued by `issuer`, for people; undefined when it is.
 * @param below the certificates from the first of the chain up to the one that is asked about
 */
function whyNotIssued(below: readonly Certificate[], issuer: Certificate, signedBy: Signs): string | undefined {
  const link = below.at(-1) as Certificate;
  if (!sameBytes(link.issuer, issuer.subject)) {
    return `certificate ${nameOf(link)} is not issued by ${nameOf(issuer)}`;
  }
  if (!issuer.ca) return `certificate ${nameOf(issuer)} signs others, but is not a CA`;
  const cas = below.filter(({ ca }) => ca).length;
  if (issuer.pathLength !== undefined && cas > issuer.pathLength) {
    return `below ${nameOf(issuer)} stand ${cas} CAs, more than its path length of ${issuer.pathLength}`;
  }
  if (!signedBy(link, issuer)) return `certificate ${nameOf(link)} is not signed by ${nameOf(issuer)}`;
  const { nameConstraints } = issuer;
  if (nameConstraints === undefined) return undefined;
  const name = below.map((named) => forbiddenName(nameConstraints, named)).find((found) => found !== undefined);
  return name === undefined ? undefined : `${nameOf(issuer)} is not allowed to issue for ${name}`;
}

/**
 * Checks one step of a chain whose root nobody knows.
 * @param below the certificates from the first of the chain up to the one that is asked about
 * @throws CERT_UNTRUSTED unless the last of them is issued by `issuer`
 */
export function checkIssued(below: readonly Certificate[], issuer: Certificate): void {
  const why = whyNotIssued(below, issuer, signs);
  if (why !== undefined) throw refuse('CERT_UNTRUSTED', why);
}

const same = (a: Certificate, b: Certificate): boolean => sameBytes(a.der, b.der);

function checkOrder(chain: readonly Certificate[], root: Certificate): readonly Certificate[] {
  const last = chain.at(-1) as Certificate;
  if (!same(last, root)) {
    throw refuse('CERT_UNTRUSTED', `the chain ends at ${nameOf(last)}, not at the trusted root ${nameOf(root)}`);
  }
  for (let index = 1; index < chain.length; index++) checkIssued(chain.slice(0, index), chain[index] as Certificate);
  return chain;
}

/** Depth first over what was presented; each is used once. */
function findPath(first: Certificate, others: readonly Certificate[], root: Certificate): readonly Certificate[] {
  const known = new Map<Certificate, Map<Certificate, boolean>>();
  // a signature is looked at once: whoever presents seven CAs of one name must not cost thousands
  const signedBy: Signs = (link, issuer) => {
    const answers = known.get(link) ?? new Map<Certificate, boolean>();
    known.set(link, answers);
    const answer = answers.get(issuer) ?? signs(link, issuer);
    answers.set(issuer, answer);
    return answer;
  };
  const climb = (below: readonly Certificate[], left: readonly Certificate[]): readonly Certificate[] | undefined => {
    if (whyNotIssued(below, root, signedBy) === undefined) return [...below, root];
    for (const issuer of left) {
      if (whyNotIssued(below, issuer, signedBy) !== undefined) continue;
      const path = climb(
        [...below, issuer],
        left.filter((link) => link !== issuer),
      );
      if (path !== undefined) return path;
    }
    return undefined;
  };
  const path = same(first, root) ? [root] : climb([first], others);
  if (path !== undefined) return path;
  throw refuse('CERT_UNTRUSTED', `certificate ${nameOf(first)} does not lead to the trusted root ${nameOf(root)}`);
}

function checkTime(certificate: Certificate, at: number): void {
  const name = nameOf(certificate);
  const [from, to] = [certificate.notBefore, certificate.notAfter].map((time) => new Date(time).toISOString());
  if (at < certificate.notBefore) {
    throw refuse('CERT_NOT_YET_VALID', `certificate ${name} is not valid before ${from}`, {
      field: 'not_before',
      value: from as string,
    });
  }
  if (at > certificate.notAfter) {
    throw refuse('CERT_EXPIRED', `certificate ${name} expired at ${to}`, { field: 'not_after', value: to as string });
  }
}

/** The leaf must be for signing a handshake; an extended usage binds it and the CAs above it, except the root. */
function checkPurpose(path: readonly Certificate[], purpose: 'server' | 'client'): void {
  const mayNot = ({ extendedKeyUsage }: Certificate) => extendedKeyUsage?.includes(PURPOSES[purpose]) === false;
  const leaf = path[0] as Certificate;
  const maySign = ((leaf.keyUsage ?? KEY_USAGE.digitalSignature) & KEY_USAGE.digitalSignature) !== 0;
  const wrong = maySign ? path.slice(0, -1).find(mayNot) : leaf;
  if (wrong !== undefined) {
    throw refuse('CERT_USAGE_WRONG', `certificate ${nameOf(wrong)} is not for a TLS ${purpose}`, {
      field: maySign ? 'extended_key_usage' : 'key_usage',
    });
  }
}

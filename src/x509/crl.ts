/** Certificate revocation lists (RFC 5280, section 5): read, checked against their issuer, asked for certificates. */
import { sameBytes } from '../codec/bytes.ts';
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { type Certificate, readExtensions } from './certificate.ts';
import { DerReader, isTime, malformed, TAG, timeOf } from './der.ts';
import { KEY_USAGE } from './extension-values.ts';
import { readName } from './names.ts';
import { checkInnerAlgorithm, isSignedBy, readSigned, type SignedPart } from './signed.ts';

export interface Crl {
  /** DER of the name */
  readonly issuer: Uint8Array;
  /** milliseconds */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** hex of the content octets of the serials */
  readonly serials: ReadonlySet<string>;
  readonly signed: SignedPart;
}

/**
 * None: what is critical in a list says that it is not the whole list of its issuer's certificates (a delta, a part, a list for
 * others), and taking it for one would let a revoked certificate pass.
 */
const UNDERSTOOD: ReadonlySet<string> = new Set();

/** Reads a list. A list without an end of validity is refused. @throws CERT_INVALID */
export function parseCrl(der: Uint8Array): Crl {
  try {
    return read(der);
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'the revocation list cannot be read', { cause: thrown });
  }
}

function read(der: Uint8Array): Crl {
  const signed = readSigned(der);
  const tbs = new DerReader(signed.tbs).enter();
  const version = tbs.peek() === TAG.integer ? tbs.smallInteger() + 1 : undefined;
  if (version !== undefined && version !== 2) throw malformed(`a list of version ${version} is not written`);
  checkInnerAlgorithm(signed, tbs.next(TAG.sequence).raw);
  const issuer = tbs.next(TAG.sequence).raw;
  readName(issuer);
  const thisUpdate = timeOf(tbs.next());
  if (!isTime(tbs.peek())) throw malformed('the list has no end of its validity');
  const nextUpdate = timeOf(tbs.next());
  const serials = new Set<string>();
  const revoked = tbs.optional(TAG.sequence);
  const list = new DerReader(revoked?.content ?? new Uint8Array());
  while (list.more) {
    const entry = list.enter();
    serials.add(toHex(entry.integer()));
    timeOf(entry.next());
    if (entry.more) readExtensions(entry.next(TAG.sequence).raw, UNDERSTOOD);
    entry.end();
  }
  const wrapped = tbs.optional(0xa0);
  tbs.end();
  if (wrapped !== undefined) readExtensions(wrapped.content, UNDERSTOOD);
  if (version === undefined && wrapped !== undefined) throw malformed('version 1 has extensions');
  return { issuer, thisUpdate, nextUpdate, serials, signed };
}

/** @param at milliseconds @throws CERT_INVALID when the list is not the issuer's, or not of this time */
export function checkCrl(crl: Crl, issuer: Certificate, at: number): void {
  const mayList = ((issuer.keyUsage ?? KEY_USAGE.crlSign) & KEY_USAGE.crlSign) !== 0;
  if (!mayList || !sameBytes(crl.issuer, issuer.subject) || !isSignedBy(crl.signed, issuer.spki)) {
    throw new DstackError('CERT_INVALID', `the revocation list is not signed by ${issuer.commonName}`);
  }
  if (at < crl.thisUpdate || at > crl.nextUpdate) {
    throw new DstackError(
      'CERT_INVALID',
      `the revocation list of ${issuer.commonName} is not valid at ${new Date(at).toISOString()}`,
    );
  }
}

/** True if a list of the certificate's issuer names it. */
export const isRevoked = (certificate: Certificate, lists: readonly Crl[]): boolean =>
  lists.some((crl) => sameBytes(crl.issuer, certificate.issuer) && crl.serials.has(certificate.serial));

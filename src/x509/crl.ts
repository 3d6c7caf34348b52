/** Certificate revocation lists (RFC 5280, section 5): read, checked against their issuer, asked for serials. */
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { type Certificate, isSignedBy, readSigned, type SignedPart } from './certificate.ts';
import { DerReader, TAG, timeOf } from './der.ts';

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

const isTime = (tag: number | undefined): boolean => tag === 0x17 || tag === 0x18;

/** Reads a list. A list without an end of validity is refused. @throws CERT_INVALID */
export function parseCrl(der: Uint8Array): Crl {
  try {
    const signed = readSigned(der);
    const tbs = new DerReader(signed.tbs).enter();
    tbs.optional(TAG.integer);
    tbs.next(TAG.sequence);
    const issuer = tbs.next(TAG.sequence).raw;
    const [thisUpdate, nextUpdate] = [timeOf(tbs.next()), timeOf(tbs.next())];
    const serials = new Set<string>();
    const revoked = tbs.optional(TAG.sequence);
    const list = new DerReader(revoked?.content ?? new Uint8Array());
    while (list.more) {
      const entry = list.enter();
      serials.add(toHex(entry.next(TAG.integer).content));
      if (!isTime(entry.peek())) throw new DstackError('CERT_INVALID', 'a revocation has no date');
    }
    tbs.optional(0xa0);
    tbs.end();
    return { issuer, thisUpdate, nextUpdate, serials, signed };
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'the revocation list cannot be read', { cause: thrown });
  }
}

/** @param at milliseconds @throws CERT_INVALID when the list is not the issuer's, or not of this time */
export function checkCrl(crl: Crl, issuer: Certificate, at: number): void {
  if (Buffer.compare(crl.issuer, issuer.subject) !== 0 || !isSignedBy(crl.signed, issuer)) {
    throw new DstackError('CERT_INVALID', `the revocation list is not signed by ${issuer.commonName}`);
  }
  if (at < crl.thisUpdate || at > crl.nextUpdate) {
    throw new DstackError(
      'CERT_INVALID',
      `the revocation list of ${issuer.commonName} is not valid at ${new Date(at).toISOString()}`,
    );
  }
}

export const isRevoked = (certificate: Certificate, crl: Crl): boolean => crl.serials.has(certificate.serial);

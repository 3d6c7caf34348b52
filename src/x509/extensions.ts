/**
 * The X.509 extensions of dstack, under OID 1.3.6.1.4.1.62397.1. The payload is wrapped twice: extnValue is an OCTET
 * STRING that contains one more DER OCTET STRING. None is critical. Source: dstack keys and certificates, extensions.
 */

import { DstackError } from '../errors.ts';
import { DerReader, oidText, TAG } from './der.ts';
import * as write from './der-write.ts';
import { fromPem } from './pem.ts';

const ARC = '1.3.6.1.4.1.62397.1';

export const OID = {
  /** raw quote of old certificates, read only */
  legacyQuote: `${ARC}.1`,
  /** event log JSON of old certificates, read only */
  legacyEventLog: `${ARC}.2`,
  /** 20 bytes */
  appId: `${ARC}.3`,
  /** UTF-8 text: app:ca, app:custom, kms:rpc ... */
  usage: `${ARC}.4`,
  /** versioned attestation bytes */
  attestation: `${ARC}.8`,
  /** msgpack */
  appInfo: `${ARC}.9`,
} as const;

/** One Extension of a certificate (RFC 5280, 4.1); `value` is the content of extnValue. */
export const extension = (oid: string, value: Uint8Array, critical = false): Uint8Array =>
  write.sequence(write.oid(oid), ...(critical ? [write.yes()] : []), write.octets(value));

/** An extension of this arc: the payload is wrapped once more. */
export const dstackExtension = (oid: string, payload: Uint8Array): Uint8Array => extension(oid, write.octets(payload));

/** The payload of a DER OCTET STRING that fills `der` completely. @throws CERT_INVALID */
export function readOctetString(der: Uint8Array): Uint8Array {
  try {
    const reader = new DerReader(der);
    const { content } = reader.next(TAG.octetString);
    reader.end();
    return content;
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'an extension does not hold one DER OCTET STRING', { cause: thrown });
  }
}

/**
 * The payload of one extension of a certificate (PEM text or DER); undefined when it is not there.
 * @throws CERT_INVALID for a damaged certificate or an extension that occurs twice
 */
export async function readExtension(certificate: string | Uint8Array, oid: string): Promise<Uint8Array | undefined> {
  let found: Uint8Array[];
  try {
    found = extensionValues(typeof certificate === 'string' ? fromPem(certificate, 'CERTIFICATE') : certificate, oid);
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'the certificate cannot be read', { cause: thrown });
  }
  if (found.length > 1) {
    throw new DstackError('CERT_INVALID', `extension ${oid} occurs ${found.length} times`, { field: oid });
  }
  const [only] = found;
  return only === undefined ? undefined : new Uint8Array(readOctetString(only));
}

/** Extensions are the last, [3] tagged member of a TBSCertificate (RFC 5280, 4.1). */
function extensionValues(der: Uint8Array, wanted: string): Uint8Array[] {
  const body = new DerReader(der).enter().enter();
  while (body.more && body.peek() !== 0xa3) body.next();
  if (!body.more) return [];
  const list = body.enter(0xa3).enter();
  const out: Uint8Array[] = [];
  while (list.more) {
    const entry = list.enter();
    const oid = oidText(entry.next(TAG.oid).content);
    entry.optional(0x01); // critical
    const value = entry.next(TAG.octetString).content;
    if (oid === wanted) out.push(value);
  }
  return out;
}

/**
 * Extensions of certificates, and those of dstack among them: their payload is wrapped twice, extnValue is an OCTET STRING
 * that contains one more DER OCTET STRING, and none is critical. Source: dstack keys and certificates, extensions.
 */
import { DstackError } from '../errors.ts';
import { type Certificate, parseCertificate } from './certificate.ts';
import { DerReader, TAG } from './der.ts';
import * as write from './der-write.ts';
import { fromPem } from './pem.ts';

/** One Extension of a certificate (RFC 5280, 4.1); `value` is the content of extnValue. */
export const extension = (oid: string, value: Uint8Array, critical = false): Uint8Array =>
  write.sequence(write.oid(oid), ...(critical ? [write.booleanTrue()] : []), write.octets(value));

/** An extension of dstack: the payload is wrapped once more. */
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
 * The payload of an extension of dstack, a copy; undefined when the certificate does not have it.
 * @param certificate read already, or as PEM text (its first certificate) or DER
 * @throws CERT_INVALID for a damaged certificate or a payload that is not wrapped twice
 */
export function readExtension(
  certificate: string | Uint8Array | Pick<Certificate, 'extensions'>,
  oid: string,
): Uint8Array | undefined {
  const value = extensionsOf(certificate).get(oid);
  return value === undefined ? undefined : new Uint8Array(readOctetString(value));
}

function extensionsOf(certificate: string | Uint8Array | Pick<Certificate, 'extensions'>) {
  if (certificate instanceof Uint8Array) return parseCertificate(certificate).extensions;
  if (typeof certificate !== 'string') return certificate.extensions;
  let der: Uint8Array;
  try {
    der = fromPem(certificate, 'CERTIFICATE');
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'the certificate cannot be read', { cause: thrown });
  }
  return parseCertificate(der).extensions;
}

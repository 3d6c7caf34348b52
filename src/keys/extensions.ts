/**
 * The X.509 extensions of dstack, under OID 1.3.6.1.4.1.62397.1. The payload is wrapped twice: extnValue is an OCTET
 * STRING that contains one more DER OCTET STRING. None is critical. Source: dstack keys and certificates, extensions.
 */
import { DstackError } from '../errors.ts';
import { loadX509, type X509 } from './x509.ts';

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

/** A DER OCTET STRING (X.690, 8.7). */
export function octetString(payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const head = length < 0x80 ? [length] : longLength(length);
  return Uint8Array.from([0x04, ...head, ...payload]);
}

function longLength(length: number): number[] {
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

/** The payload of a DER OCTET STRING that fills `der` completely. @throws CERT_INVALID */
export function readOctetString(der: Uint8Array): Uint8Array {
  const bad = () => new DstackError('CERT_INVALID', 'an extension does not hold one DER OCTET STRING');
  if (der[0] !== 0x04 || der.length < 2) throw bad();
  const first = der[1]!;
  let at = 2;
  let length = first;
  if (first >= 0x80) {
    const count = first & 0x7f;
    if (count === 0 || count > 4 || der.length < 2 + count) throw bad();
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + der[at++]!;
  }
  if (at + length !== der.length) throw bad();
  return der.subarray(at);
}

/** An extension of this arc for the certificate generator. */
export function makeExtension({ Extension }: X509, oid: string, payload: Uint8Array): InstanceType<X509['Extension']> {
  return new Extension(oid, false, new Uint8Array(octetString(payload)));
}

/**
 * The payload of one extension of a certificate (PEM text or DER); undefined when it is not there.
 * @throws CERT_INVALID for a damaged certificate or an extension that occurs twice
 */
export async function readExtension(certificate: string | Uint8Array, oid: string): Promise<Uint8Array | undefined> {
  const { X509Certificate } = await loadX509();
  let found: { value: ArrayBuffer }[];
  try {
    const parsed = new X509Certificate(typeof certificate === 'string' ? certificate : new Uint8Array(certificate));
    found = parsed.extensions.filter(({ type }) => type === oid);
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'the certificate cannot be read', { cause: thrown });
  }
  if (found.length > 1) {
    throw new DstackError('CERT_INVALID', `extension ${oid} occurs ${found.length} times`, { field: oid });
  }
  const [only] = found;
  return only === undefined ? undefined : readOctetString(new Uint8Array(only.value));
}

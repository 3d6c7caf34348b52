/** A certificate in which every part can be written otherwise, signed with a real key: what no writer would make. */
import { p256FromScalar } from '../../src/keys/derive.ts';
import {
  bits,
  booleanTrue,
  integer,
  item,
  octets,
  oid,
  sequence,
  set,
  time,
  utf8String,
} from '../../src/x509/der-write.ts';
import { extension } from '../../src/x509/extensions.ts';
import { OID } from '../../src/x509/oids.ts';
import { signP256 } from '../../src/x509/sign-p256.ts';

export const ODD_KEY = p256FromScalar(new Uint8Array(32).fill(5));
export const ECDSA_SHA256 = sequence(oid(OID.ecdsaSha256));
export const NOT_BEFORE = time(Date.UTC(2020, 0, 1) / 1000);
export const NOT_AFTER = time(Date.UTC(2040, 0, 1) / 1000);

export const attribute = (type: string, value: Uint8Array): Uint8Array => sequence(oid(type), value);
export const nameOf = (text: string): Uint8Array => sequence(set(attribute(OID.commonName, utf8String(text))));
export const version = (value: number): Uint8Array => item(0xa0, integer(Uint8Array.of(value)));

/** Complete DER items; an empty array leaves the part out. */
export interface Parts {
  readonly version: Uint8Array;
  readonly serial: Uint8Array;
  readonly inner: Uint8Array;
  readonly outer: Uint8Array;
  readonly issuer: Uint8Array;
  readonly validity: Uint8Array;
  readonly subject: Uint8Array;
  readonly spki: Uint8Array;
  /** what stands between key and extensions */
  readonly unique: Uint8Array;
  /** the whole [3] member */
  readonly extensions: Uint8Array;
  /** bytes after the last member, inside the signed part and inside the certificate */
  readonly innerTail: Uint8Array;
  readonly tail: Uint8Array;
  readonly signature: (real: Uint8Array) => Uint8Array;
}

export const NONE = new Uint8Array();
export const extensions = (...list: readonly Uint8Array[]): Uint8Array => item(0xa3, sequence(...list));
export const CA_BASIC = extension(OID.basicConstraints, sequence(booleanTrue()), true);

const PLAIN: Parts = {
  version: version(2),
  serial: integer(Uint8Array.of(1)),
  inner: ECDSA_SHA256,
  outer: ECDSA_SHA256,
  issuer: nameOf('odd'),
  validity: sequence(NOT_BEFORE, NOT_AFTER),
  subject: nameOf('odd'),
  spki: ODD_KEY.spkiDer,
  unique: NONE,
  extensions: extensions(extension(OID.keyUsage, bits(Uint8Array.of(0x80), 7), true)),
  innerTail: NONE,
  tail: NONE,
  signature: (real) => bits(real),
};

/** @returns DER */
export function oddCertificate(odd: Partial<Parts> = {}): Uint8Array {
  const parts = { ...PLAIN, ...odd };
  const body = sequence(
    parts.version,
    parts.serial,
    parts.inner,
    parts.issuer,
    parts.validity,
    parts.subject,
    parts.spki,
    parts.unique,
    parts.extensions,
    parts.innerTail,
  );
  return sequence(body, parts.outer, parts.signature(signP256(body, ODD_KEY.pkcs8Der, 'the test')), parts.tail);
}

/** An extension with the members as they are given. */
export const rawExtension = (...members: readonly Uint8Array[]): Uint8Array => sequence(...members);
/** An OBJECT IDENTIFIER with exactly these content octets. */
export const rawOid = (...content: readonly number[]): Uint8Array => item(0x06, Uint8Array.from(content));
export const NULL_VALUE = octets(Uint8Array.of(5, 0));

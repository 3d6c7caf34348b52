/**
 * What the reader refuses although other readers may take it. The same table is asked of node:crypto, so that it says
 * what the difference is; a row that node refuses too is marked.
 */
import { describe, expect, it } from 'vitest';
import { DstackError, errorChain } from '../../src/errors.ts';
import { parseCertificate } from '../../src/x509/certificate.ts';
import { bits, booleanTrue, integer, item, oid, sequence, set, utf8String } from '../../src/x509/der-write.ts';
import { extension } from '../../src/x509/extensions.ts';
import { OID } from '../../src/x509/oids.ts';
import { failure } from '../failure.ts';
import {
  attribute,
  extensions,
  NONE,
  NOT_AFTER,
  NOT_BEFORE,
  NULL_VALUE,
  ODD_KEY,
  oddCertificate,
  type Parts,
  rawExtension,
  rawOid,
  version,
} from './odd-certificate.ts';
import { nodeTakes } from './second-reader.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const raw = (tag: number, ...content: number[]): Uint8Array => item(tag, bytes(...content));
const utc = (text: string): Uint8Array => item(0x17, Buffer.from(text));
const generalized = (text: string): Uint8Array => item(0x18, Buffer.from(text));
const until = (end: Uint8Array): Partial<Parts> => ({ validity: sequence(NOT_BEFORE, end) });
const only = (...list: Uint8Array[]): Partial<Parts> => ({ extensions: extensions(...list) });
const SHA1_RSA = sequence(oid('1.2.840.113549.1.1.5'), bytes(5, 0));
const UNKNOWN = oid('1.2.3.4.5');
const lax = 'node takes it';
const also = 'node refuses it too';

/** Why it is refused stands in the third column where a reader in the field takes it. */
const REFUSED: readonly (readonly [name: string, odd: Partial<Parts>, node: string, why: string])[] = [
  // X.690: one encoding for a value
  ['a boolean that is 0x01', only(rawExtension(UNKNOWN, raw(1, 1), NULL_VALUE)), lax, 'X.690, 11.1'],
  ['a boolean that is 0x00', only(rawExtension(UNKNOWN, raw(1, 0), NULL_VALUE)), lax, 'X.690, 11.5: a default value'],
  ['a boolean of two bytes', only(rawExtension(UNKNOWN, raw(1, 0xff, 0xff), NULL_VALUE)), also, 'X.690, 8.2'],
  ['an empty boolean', only(rawExtension(UNKNOWN, raw(1), NULL_VALUE)), also, 'X.690, 8.2'],
  ['an unfinished identifier', only(rawExtension(rawOid(0x2a, 3, 4, 0x85), NULL_VALUE)), also, 'X.690, 8.19'],
  ['a padded identifier', only(rawExtension(rawOid(0x55, 0x1d, 0x80, 0x0e), NULL_VALUE)), also, 'X.690, 8.19.2'],
  ['an empty identifier', only(rawExtension(rawOid(), NULL_VALUE)), also, 'X.690, 8.19'],
  ['a serial number with a leading zero', { serial: raw(2, 0, 1) }, also, 'X.690, 8.3.2'],
  ['a serial number without bytes', { serial: raw(2) }, also, 'X.690, 8.3.1'],
  ['a length in more bytes than it needs', { serial: bytes(2, 0x81, 1, 1) }, lax, 'X.690, 10.1'],
  [
    'a length without end',
    { issuer: bytes(0x30, 0x80, ...set(attribute(OID.commonName, utf8String('x'))), 0, 0) },
    lax,
    'X.690, 10.1',
  ],
  [
    'a key usage with set bits that do not count',
    only(extension(OID.keyUsage, raw(3, 7, 0xff), true)),
    lax,
    'X.690, 11.2.1',
  ],
  [
    'attributes of a name out of order',
    { subject: sequence(set(attribute('2.5.4.11', utf8String('b')), attribute('2.5.4.11', utf8String('a')))) },
    lax,
    'X.690, 11.6',
  ],
  [
    'a key that is not whole bytes',
    { spki: sequence(sequence(oid(OID.ecPublicKey), oid(OID.p256)), raw(3, 1, 4, 2)) },
    lax,
    'RFC 5480, 2.2',
  ],
  ['a signature that is not whole bytes', { signature: (real) => bits(real.with(-1, 0), 1) }, lax, 'RFC 3279, 2.2.3'],
  // RFC 5280: what a certificate may hold
  ['another algorithm inside', { inner: SHA1_RSA }, lax, 'RFC 5280, 4.1.1.2'],
  [
    'parameters of ECDSA',
    { inner: sequence(oid(OID.ecdsaSha256), bytes(5, 0)), outer: sequence(oid(OID.ecdsaSha256), bytes(5, 0)) },
    lax,
    'RFC 5758, 3.2',
  ],
  ['version 1 with extensions', { version: NONE }, lax, 'RFC 5280, 4.1.2.1'],
  ['version 1 written out', { version: version(0), extensions: NONE }, lax, 'X.690, 11.5'],
  ['version 2 with extensions', { version: version(1) }, lax, 'RFC 5280, 4.1.2.1'],
  ['version 7', { version: version(6) }, lax, 'RFC 5280, 4.1.2.1'],
  ['a negative serial number', { serial: raw(2, 0xff) }, lax, 'RFC 5280, 4.1.2.2'],
  ['a serial number of 21 bytes', { serial: item(2, new Uint8Array(21).fill(1)) }, lax, 'RFC 5280, 4.1.2.2'],
  ['30 February', until(utc('300230000000Z')), lax, 'the day does not exist'],
  ['24 o’clock', until(utc('300101240000Z')), lax, 'the hour does not exist'],
  ['month 13', until(utc('301301000000Z')), lax, 'the month does not exist'],
  ['a time without seconds', until(utc('3001010000Z')), lax, 'RFC 5280, 4.1.2.5.1'],
  ['a time zone', until(utc('300101000000+0100')), lax, 'RFC 5280, 4.1.2.5.1'],
  ['a fraction of a second', until(generalized('20600101000000.5Z')), lax, 'RFC 5280, 4.1.2.5.2'],
  ['a year before 2050 in the long form', until(generalized('20400101000000Z')), lax, 'RFC 5280, 4.1.2.5'],
  ['a third time', { validity: sequence(NOT_BEFORE, NOT_AFTER, NOT_AFTER) }, also, 'RFC 5280, 4.1'],
  ['an issuer without a name', { issuer: sequence() }, lax, 'RFC 5280, 4.1.2.4'],
  ['a part of a name without attributes', { subject: sequence(set()) }, lax, 'RFC 5280, 4.1.2.4'],
  [
    'a common name that is a number',
    { subject: sequence(set(attribute(OID.commonName, integer(bytes(1))))) },
    also,
    'RFC 5280, appendix A.1',
  ],
  [
    'a common name that is not UTF-8',
    { subject: sequence(set(attribute(OID.commonName, raw(0x0c, 0xff)))) },
    also,
    'RFC 5280, 4.1.2.4',
  ],
  ['unique identifiers', { unique: raw(0x81, 0, 1) }, lax, 'RFC 5280, 4.1.2.8: nobody may write them'],
  ['an empty list of extensions', { extensions: extensions() }, lax, 'RFC 5280, 4.1.2.9'],
  ['an extension twice', only(extension('1.2.3', bytes(5, 0)), extension('1.2.3', bytes(5, 0))), lax, 'RFC 5280, 4.2'],
  ['an unknown critical extension', only(extension('1.2.3.4.5', bytes(5, 0), true)), lax, 'RFC 5280, 4.2'],
  ['a fourth member of an extension', only(rawExtension(UNKNOWN, NULL_VALUE, NULL_VALUE)), also, 'RFC 5280, 4.1'],
  [
    'a path length without the CA flag',
    only(extension(OID.basicConstraints, sequence(integer(bytes(1))), true)),
    lax,
    'RFC 5280, 4.2.1.9',
  ],
  [
    'a negative path length',
    only(extension(OID.basicConstraints, sequence(booleanTrue(), raw(2, 0xff)), true)),
    lax,
    'RFC 5280, 4.2.1.9',
  ],
  [
    'bytes behind a basic constraint',
    only(extension(OID.basicConstraints, bytes(0x30, 0, 0), true)),
    lax,
    'RFC 5280, 4.2',
  ],
  ['a key usage of zero bits', only(extension(OID.keyUsage, raw(3, 0, 0), true)), lax, 'RFC 5280, 4.2.1.3'],
  ['a key usage of three bytes', only(extension(OID.keyUsage, raw(3, 0, 0x80, 0, 1), true)), lax, 'RFC 5280, 4.2.1.3'],
  ['a key usage without a bit', only(extension(OID.keyUsage, raw(3, 0), true)), lax, 'RFC 5280, 4.2.1.3'],
  ['an extended usage without one', only(extension(OID.extendedKeyUsage, sequence())), lax, 'RFC 5280, 4.2.1.12'],
  ['alternative names without one', only(extension(OID.subjectAltName, sequence())), lax, 'RFC 5280, 4.2.1.6'],
  [
    'an address of five bytes',
    only(extension(OID.subjectAltName, sequence(raw(0x87, 1, 2, 3, 4, 5)))),
    lax,
    'RFC 5280, 4.2.1.6',
  ],
  ['a DNS name beyond ASCII', only(extension(OID.subjectAltName, sequence(raw(0x82, 0xe4)))), lax, 'RFC 5280, 4.2.1.6'],
  ['a name of no known form', only(extension(OID.subjectAltName, sequence(raw(0x8f, 1)))), lax, 'RFC 5280, 4.2.1.6'],
  ['empty name constraints', only(extension(OID.nameConstraints, sequence(), true)), lax, 'RFC 5280, 4.2.1.10'],
  [
    'constraints on mail addresses',
    only(extension(OID.nameConstraints, sequence(item(0xa0, sequence(raw(0x81, 0x61)))), true)),
    lax,
    'they could not be kept',
  ],
  ['bytes at the end of the signed part', { innerTail: bytes(5, 0) }, also, 'RFC 5280, 4.1'],
  ['bytes at the end', { tail: bytes(5, 0) }, also, 'RFC 5280, 4.1'],
];

describe('a certificate that nothing is wrong with', () => {
  it.each<[string, Partial<Parts>]>([
    ['is the one the others are made from', {}],
    ['has version 1 and no extensions', { version: NONE, extensions: NONE }],
    ['has version 2 and no extensions', { version: version(1), extensions: NONE }],
    ['has a serial number of 20 bytes, the first above 0x7f', { serial: integer(new Uint8Array(20).fill(0xff)) }],
    ['has a key usage as the platform writes it', only(extension(OID.keyUsage, raw(3, 7, 0x86, 0), true))],
    ['has serial number 0, as those of AMD', { serial: raw(2, 0) }],
    ['is valid until 29 February', until(utc('400229235959Z'))],
    ['is valid for ever', until(generalized('99991231235959Z'))],
    ['has no subject', { subject: sequence() }],
    ['has an unknown extension', only(extension('1.2.3.4.5', bytes(5, 0)))],
    ['is signed with RSA, which counts where the signature is checked', { inner: SHA1_RSA, outer: SHA1_RSA }],
    [
      'has a name of two attributes',
      { subject: sequence(set(attribute('2.5.4.11', utf8String('a')), attribute('2.5.4.11', utf8String('b')))) },
    ],
  ])('%s', (_, odd) => {
    const der = oddCertificate(odd);
    expect(nodeTakes(der)).toBe(true);
    expect(parseCertificate(der).spki).toEqual(ODD_KEY.spkiDer);
  });

  it('keeps what it says', () => {
    const der = oddCertificate({
      subject: sequence(
        set(attribute('2.5.4.10', utf8String('o'))),
        set(attribute(OID.commonName, item(0x1e, Buffer.from('\0ä', 'latin1')))),
      ),
      extensions: extensions(
        extension(OID.basicConstraints, sequence(booleanTrue(), integer(bytes(3))), true),
        extension(OID.keyUsage, bits(bytes(0x86), 1), true),
        extension(OID.extendedKeyUsage, sequence(oid(OID.clientAuth))),
        extension(OID.subjectAltName, sequence(raw(0x87, 10, 0, 0, 1), item(0x82, Buffer.from('a.example')))),
      ),
    });
    expect(parseCertificate(der)).toMatchObject({
      commonName: 'ä',
      serial: '01',
      ca: true,
      pathLength: 3,
      keyUsage: 0x86,
      extendedKeyUsage: [OID.clientAuth],
      altNames: [{ tag: 0x87 }, { tag: 0x82, value: new Uint8Array(Buffer.from('a.example')) }],
      notBefore: Date.UTC(2020, 0, 1),
    });
  });
});

describe('a certificate is refused with', () => {
  it.each(REFUSED)('%s', (_, odd, node) => {
    const der = oddCertificate(odd);
    const error = failure(() => parseCertificate(der));
    expect(error).toBeInstanceOf(DstackError);
    expect(error.code).toBe('CERT_INVALID');
    expect(errorChain(error)).not.toMatch(/TypeError|undefined/);
    expect(nodeTakes(der) ? lax : also).toBe(node);
  });
});

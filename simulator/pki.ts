/**
 * The mock Intel SGX PKI: root, PCK CA, PCK, TCB signer, QE identity signer, and the two CRLs (dstack simulators, mock
 * PKI). Equal seeds give byte-identical certificates in separate processes, so a host service and a guest simulator
 * share nothing but the seed.
 */
import { createHash } from 'node:crypto';
import { derWrite, extension, OID, toPem } from '../src/x509/x509.ts';
import { type MockKey, mockKey, signDer } from './mock-keys.ts';

const { bits, booleanTrue, integer, item, octets, oid, sequence, set, time, utf8String: utf8 } = derWrite;

export interface MockPki {
  readonly keys: { readonly pck: MockKey; readonly tcb: MockKey; readonly qe: MockKey };
  /** certificates in DER */
  readonly root: Uint8Array;
  readonly pckCa: Uint8Array;
  readonly pck: Uint8Array;
  readonly tcb: Uint8Array;
  readonly qe: Uint8Array;
  /** CRLs in DER, without entries */
  readonly rootCrl: Uint8Array;
  readonly pckCrl: Uint8Array;
}

const SERIAL = 42;
const NOT_BEFORE = time(Date.parse('2020-01-01T00:00:00Z') / 1000);
const NOT_AFTER = time(Date.parse('2100-01-01T00:00:00Z') / 1000);
const DNS_NAME = 'mock.dstack.invalid';

const TAG_ENUMERATED = 0x0a;
const number = (value: number): Uint8Array => integer(Uint8Array.of(value));
/** `[tag]` around values */
const explicit = (tag: number, ...content: readonly Uint8Array[]): Uint8Array => item(0xa0 | tag, ...content);
/** `[tag] IMPLICIT` primitive */
const implicit = (tag: number, content: Uint8Array): Uint8Array => item(0x80 | tag, content);

const ECDSA_SHA256 = sequence(oid(OID.ecdsaSha256));
const EC_P256 = sequence(oid(OID.ecPublicKey), oid(OID.p256));

const name = (commonName: string): Uint8Array => sequence(set(sequence(oid(OID.commonName), utf8(commonName))));
const spki = (key: MockKey): Uint8Array => sequence(EC_P256, bits(key.point));

/** SHA-256 of the public key, cut to 20 bytes */
const keyId = (key: MockKey): Uint8Array =>
  new Uint8Array(createHash('sha256').update(spki(key)).digest().subarray(0, 20));

// key usage bits: digitalSignature 0, keyCertSign 5, cRLSign 6
const CA_USAGE = bits(Uint8Array.of(0x86), 1);
const LEAF_USAGE = bits(Uint8Array.of(0x80), 7);
const SERVER_AUTH = sequence(oid(OID.serverAuth));

interface Party {
  readonly commonName: string;
  readonly key: MockKey;
}

function certificate(subject: Party, issuer: Party, isCa: boolean, extra: readonly Uint8Array[] = []): Uint8Array {
  const extensions = [
    extension(OID.subjectAltName, sequence(implicit(2, Buffer.from(DNS_NAME)))),
    extension(OID.keyUsage, isCa ? CA_USAGE : LEAF_USAGE, true),
    ...(isCa
      ? [
          extension(OID.subjectKeyIdentifier, octets(keyId(subject.key))),
          extension(OID.basicConstraints, sequence(booleanTrue()), true),
        ]
      : // verifiers in the field run web PKI end-entity checks, which ask for serverAuth
        [extension(OID.extendedKeyUsage, SERVER_AUTH)]),
    ...extra,
  ];
  const body = sequence(
    explicit(0, number(2)),
    number(SERIAL),
    ECDSA_SHA256,
    name(issuer.commonName),
    sequence(NOT_BEFORE, NOT_AFTER),
    name(subject.commonName),
    spki(subject.key),
    explicit(3, sequence(...extensions)),
  );
  return sequence(body, ECDSA_SHA256, bits(signDer(issuer.key, body)));
}

function crl(issuer: Party, revoked: readonly number[] = []): Uint8Array {
  const entries = revoked.map((serial) => sequence(number(serial), NOT_BEFORE));
  const body = sequence(
    number(1),
    ECDSA_SHA256,
    name(issuer.commonName),
    NOT_BEFORE,
    NOT_AFTER,
    ...(entries.length > 0 ? [sequence(...entries)] : []),
    explicit(
      0,
      sequence(
        extension(OID.authorityKeyIdentifier, sequence(implicit(0, keyId(issuer.key)))),
        extension(OID.crlNumber, number(1)),
      ),
    ),
  );
  return sequence(body, ECDSA_SHA256, bits(signDer(issuer.key, body)));
}

/** The SGX extension of a PCK certificate: a platform whose numbers are all zero. */
function sgxExtension(): Uint8Array {
  const entry = (id: string, value: Uint8Array): Uint8Array => sequence(oid(`${OID.sgx}.${id}`), value);
  const zeros = (size: number): Uint8Array => octets(new Uint8Array(size));
  return extension(
    OID.sgx,
    sequence(
      entry('1', zeros(16)), // PPID
      entry('3', zeros(2)), // PCE id
      entry('4', zeros(6)), // FMSPC
      entry('5', item(TAG_ENUMERATED, Uint8Array.of(0))), // SGX type
      entry('2', sequence(entry('2.17', number(0)), entry('2.18', zeros(16)))), // TCB: PCE SVN, CPU SVN
    ),
  );
}

export interface PkiOptions {
  /** serials on both revocation lists; every certificate of this PKI has serial 42 */
  readonly revoked?: readonly number[];
}

/** Makes the whole PKI from a seed of 32 bytes. */
export function mockPki(seed: Uint8Array, { revoked = [] }: PkiOptions = {}): MockPki {
  const root: Party = { commonName: 'Mock Intel SGX Root CA', key: mockKey(seed, 'tdx-root') };
  const pckCa: Party = { commonName: 'Mock Intel SGX PCK Platform CA', key: mockKey(seed, 'tdx-pck-ca') };
  const pck: Party = { commonName: 'Mock Intel SGX PCK Certificate', key: mockKey(seed, 'tdx-pck') };
  const tcb: Party = { commonName: 'Mock Intel SGX TCB Signing', key: mockKey(seed, 'tdx-tcb') };
  const qe: Party = { commonName: 'Mock Intel SGX QE Identity Signing', key: mockKey(seed, 'tdx-qe') };
  return {
    keys: { pck: pck.key, tcb: tcb.key, qe: qe.key },
    root: certificate(root, root, true),
    pckCa: certificate(pckCa, root, true),
    pck: certificate(pck, pckCa, false, [sgxExtension()]),
    tcb: certificate(tcb, root, false),
    qe: certificate(qe, root, false),
    rootCrl: crl(root, revoked),
    pckCrl: crl(pckCa, revoked),
  };
}

/** Certificates one after the other in PEM. */
export const pemChain = (...certificates: readonly Uint8Array[]): string =>
  certificates.map((der) => toPem('CERTIFICATE', der)).join('');

/** The PCK chain as it is embedded in quotes: leaf first, root last. */
export const pckChain = (pki: MockPki): string => pemChain(pki.pck, pki.pckCa, pki.root);

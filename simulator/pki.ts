/**
 * The mock Intel SGX PKI: root, PCK CA, PCK, TCB signer, QE identity signer, and the two CRLs (dstack simulators, mock
 * PKI). Equal seeds give byte-identical certificates in separate processes, so a host service and a guest simulator
 * share nothing but the seed.
 */
import { createHash } from 'node:crypto';
import { bits, integer, item, octets, oid, sequence, set, time, utf8, yes } from '../src/x509/der-write.ts';
import { toPem } from '../src/x509/x509.ts';
import { type MockKey, mockKey, signDer } from './mock-keys.ts';

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

const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));
const EC_P256 = sequence(oid('1.2.840.10045.2.1'), oid('1.2.840.10045.3.1.7'));

const name = (commonName: string): Uint8Array => sequence(set(sequence(oid('2.5.4.3'), utf8(commonName))));
const spki = (key: MockKey): Uint8Array => sequence(EC_P256, bits(key.point));

const extension = (id: string, value: Uint8Array, critical = false): Uint8Array =>
  sequence(oid(id), ...(critical ? [yes()] : []), octets(value));

/** SHA-256 of the public key, cut to 20 bytes */
const keyId = (key: MockKey): Uint8Array =>
  new Uint8Array(createHash('sha256').update(spki(key)).digest().subarray(0, 20));

// key usage bits: digitalSignature 0, keyCertSign 5, cRLSign 6
const CA_USAGE = bits(Uint8Array.of(0x86), 1);
const LEAF_USAGE = bits(Uint8Array.of(0x80), 7);
const SERVER_AUTH = sequence(oid('1.3.6.1.5.5.7.3.1'));

interface Party {
  readonly commonName: string;
  readonly key: MockKey;
}

function certificate(subject: Party, issuer: Party, isCa: boolean, extra: readonly Uint8Array[] = []): Uint8Array {
  const extensions = [
    extension('2.5.29.17', sequence(implicit(2, Buffer.from(DNS_NAME)))),
    extension('2.5.29.15', isCa ? CA_USAGE : LEAF_USAGE, true),
    ...(isCa
      ? [extension('2.5.29.14', octets(keyId(subject.key))), extension('2.5.29.19', sequence(yes()), true)]
      : // verifiers in the field run web PKI end-entity checks, which ask for serverAuth
        [extension('2.5.29.37', SERVER_AUTH)]),
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
      sequence(extension('2.5.29.35', sequence(implicit(0, keyId(issuer.key)))), extension('2.5.29.20', number(1))),
    ),
  );
  return sequence(body, ECDSA_SHA256, bits(signDer(issuer.key, body)));
}

const SGX = '1.2.840.113741.1.13.1';

/** The SGX extension of a PCK certificate: a platform whose numbers are all zero. */
function sgxExtension(): Uint8Array {
  const entry = (id: string, value: Uint8Array): Uint8Array => sequence(oid(`${SGX}.${id}`), value);
  const zeros = (size: number): Uint8Array => octets(new Uint8Array(size));
  return extension(
    SGX,
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

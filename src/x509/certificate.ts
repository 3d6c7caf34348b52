/**
 * X.509 certificates (RFC 5280) as far as evidence needs them: P-256 signatures, validity, CA flags, extensions. Read
 * strictly and without a library, because every byte comes from whoever is to be verified.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { DerReader, oidText, TAG, timeOf } from './der.ts';

export interface Certificate {
  readonly der: Uint8Array;
  /** hex of the content octets */
  readonly serial: string;
  /** DER of the names */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** common name of the subject, empty when there is none */
  readonly commonName: string;
  /** milliseconds */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo in DER */
  readonly spki: Uint8Array;
  readonly ca: boolean;
  /** value octets (the content of extnValue) by OID */
  readonly extensions: ReadonlyMap<string, Uint8Array>;
  readonly signed: SignedPart;
}

/** What certificates and CRLs share: the signed bytes and their ECDSA signature. */
export interface SignedPart {
  readonly tbs: Uint8Array;
  /** DER */
  readonly signature: Uint8Array;
}

const ECDSA_SHA256 = '1.2.840.10045.4.3.2';
const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const UNDERSTOOD = new Set([BASIC_CONSTRAINTS, KEY_USAGE, '2.5.29.17', '2.5.29.37']);
const PEM = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----/g;
const COMMON_NAME = '2.5.4.3';
/** A chain of Intel has 3 certificates, one of dstack at most 4. */
const CHAIN_LIMIT = 8;

const invalid = (what: string, cause?: unknown): DstackError => new DstackError('CERT_INVALID', what, { cause });

/** Reads one certificate. @throws CERT_INVALID */
export function parseCertificate(der: Uint8Array): Certificate {
  try {
    return read(der);
  } catch (thrown) {
    throw invalid('the certificate cannot be read', thrown);
  }
}

function read(der: Uint8Array): Certificate {
  const { tbs: raw, signature } = readSigned(der);
  const tbs = new DerReader(raw).enter();
  tbs.optional(0xa0);
  const serial = toHex(tbs.next(TAG.integer).content);
  tbs.next(TAG.sequence);
  const issuer = tbs.next(TAG.sequence).raw;
  const validity = tbs.enter();
  const [notBefore, notAfter] = [timeOf(validity.next()), timeOf(validity.next())];
  const subject = tbs.next(TAG.sequence).raw;
  const spki = tbs.next(TAG.sequence).raw;
  tbs.optional(0x81);
  tbs.optional(0x82);
  const wrapped = tbs.optional(0xa3);
  tbs.end();
  const extensions = wrapped === undefined ? new Map<string, Uint8Array>() : readExtensions(wrapped.content);
  const commonName = commonNameOf(subject);
  const ca = isCa(extensions);
  const signed = { tbs: raw, signature };
  return { der, serial, issuer, subject, commonName, notBefore, notAfter, spki, ca, extensions, signed };
}

/** The outer SEQUENCE of certificates and CRLs. @throws CODEC_INVALID, CERT_INVALID for another algorithm */
export function readSigned(der: Uint8Array): SignedPart {
  const file = new DerReader(der);
  const outer = file.enter();
  file.end();
  const tbs = outer.next(TAG.sequence).raw;
  const algorithm = oidText(outer.enter().next(TAG.oid).content);
  const bits = outer.next(TAG.bitString).content;
  outer.end();
  if (algorithm !== ECDSA_SHA256) throw invalid(`signature algorithm ${algorithm} is not ECDSA with SHA-256`);
  if (bits[0] !== 0) throw invalid('the signature is no whole number of bytes');
  return { tbs, signature: bits.subarray(1) };
}

function readExtensions(content: Uint8Array): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const outer = new DerReader(content);
  const list = outer.enter();
  outer.end();
  while (list.more) {
    const item = list.enter();
    const oid = oidText(item.next(TAG.oid).content);
    const critical = item.optional(0x01)?.content[0] === 0xff;
    const value = item.next(TAG.octetString).content;
    item.end();
    if (critical && !UNDERSTOOD.has(oid)) throw invalid(`critical extension ${oid} is not understood`);
    if (found.has(oid)) throw invalid(`extension ${oid} occurs twice`);
    found.set(oid, value);
  }
  return found;
}

/** True if the certificate may sign others: cA flag, and keyCertSign where a key usage is stated. */
function isCa(extensions: ReadonlyMap<string, Uint8Array>): boolean {
  const constraints = extensions.get(BASIC_CONSTRAINTS);
  if (constraints === undefined) return false;
  const flag = new DerReader(constraints).enter().optional(0x01)?.content[0] === 0xff;
  const usage = extensions.get(KEY_USAGE);
  const bits = usage === undefined ? 0x04 : (new DerReader(usage).next(TAG.bitString).content[1] ?? 0);
  return flag && (bits & 0x04) !== 0; // bit 5, counted from the highest
}

function commonNameOf(name: Uint8Array): string {
  const relative = new DerReader(name).enter();
  while (relative.more) {
    const attribute = relative.enter(0x31).enter();
    if (oidText(attribute.next(TAG.oid).content) === COMMON_NAME) {
      return Buffer.from(attribute.next().content).toString('utf8');
    }
  }
  return '';
}

/**
 * All certificates of a PEM text in their order.
 * @param only nothing but white space (and the zero byte that ends a C string) may stand around them
 * @throws CERT_INVALID when there is none, or more than 8
 */
export function parsePemChain(text: string, only = false): Certificate[] {
  const blocks = [...text.matchAll(PEM)];
  const plain = !/[^\r\n\0]/.test(text.replaceAll(PEM, '')) && blocks.every(([, base64 = '']) => isPlain(base64));
  if (only && !plain) throw invalid('there is unknown content in or around the certificates');
  if (blocks.length === 0) throw invalid('the text holds no certificate in PEM form');
  if (blocks.length > CHAIN_LIMIT) throw invalid(`the text holds ${blocks.length} certificates`);
  return blocks.map(([, base64 = '']) => parseCertificate(new Uint8Array(Buffer.from(base64, 'base64'))));
}

/** Base64 as an encoder writes it: nothing is skipped or ignored when it is read. */
function isPlain(base64: string): boolean {
  const digits = base64.replace(/[\r\n]/g, '');
  return Buffer.from(digits, 'base64').toString('base64') === digits;
}

/** The key of a SubjectPublicKeyInfo. @throws CERT_INVALID unless it is a P-256 key */
export function publicKeyOf(spki: Uint8Array): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch (thrown) {
    throw invalid('the public key cannot be read', thrown);
  }
  throw invalid('the public key is not on curve P-256');
}

/** True if `signed` was signed by the key of `issuer`. */
export function isSignedBy(signed: SignedPart, issuer: Certificate): boolean {
  return verify('sha256', signed.tbs, publicKeyOf(issuer.spki), signed.signature);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/**
 * Checks a chain, leaf first, each certificate issued by the next, the last one byte for byte the trust anchor.
 * @param at milliseconds
 * @throws CERT_INVALID naming the certificate
 */
export function checkIssuedInOrder(chain: readonly Certificate[], anchor: Certificate, at: number): void {
  const last = chain.at(-1);
  if (last === undefined || !same(last.der, anchor.der)) {
    throw invalid(`the chain ends at ${last?.commonName || 'nothing'}, not at the trusted root ${anchor.commonName}`);
  }
  chain.forEach((certificate, index) => {
    const issuer = chain[index + 1] ?? anchor;
    const name = certificate.commonName || `certificate ${index + 1}`;
    if (index > 0 && !certificate.ca) throw invalid(`${name} signs others, but is no CA`);
    if (at < certificate.notBefore || at > certificate.notAfter) {
      throw invalid(`${name} is not valid at ${new Date(at).toISOString()}`);
    }
    if (!same(certificate.issuer, issuer.subject) || !isSignedBy(certificate.signed, issuer)) {
      throw invalid(`${name} is not issued by ${issuer.commonName}`);
    }
  });
  if (chain.length > 1 && chain[0]?.ca) throw invalid(`${chain[0].commonName} is a CA where a leaf is needed`);
}

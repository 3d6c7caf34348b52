/**
 * Reading X.509 certificates (RFC 5280, 4.1). Every byte comes from whoever is to be verified, so that only the one
 * encoding of DER is read, and what a certificate may not hold by RFC 5280 is refused here rather than interpreted. Who
 * may sign whom is a matter of chain.ts.
 */
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { DerReader, malformed, TAG, timeOf } from './der.ts';
import { type ExtensionValues, readExtensionValues, UNDERSTOOD } from './extension-values.ts';
import { readName } from './names.ts';
import { isPemOnly, pemBlocks } from './pem.ts';
import { checkInnerAlgorithm, readAlgorithm, readSigned, type SignedPart } from './signed.ts';

export interface Certificate extends ExtensionValues {
  readonly der: Uint8Array;
  /** hex of the content octets: not negative, shortest form, at most 20 bytes and a leading zero */
  readonly serial: string;
  /** DER of the names */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** first common name of the subject, empty when there is none */
  readonly commonName: string;
  /** milliseconds */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo in DER */
  readonly spki: Uint8Array;
  /** value octets (the content of extnValue) by OID */
  readonly extensions: ReadonlyMap<string, Uint8Array>;
  readonly signed: SignedPart;
}

const SERIAL_LIMIT = 20;
const LABEL = 'CERTIFICATE';
/** A chain of Intel has 3 certificates, one of dstack at most 4. */
export const CHAIN_LIMIT = 8;

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
  const signed = readSigned(der);
  const tbs = new DerReader(signed.tbs).enter();
  const version = readVersion(tbs);
  const serial = readSerial(tbs);
  checkInnerAlgorithm(signed, tbs.next(TAG.sequence).raw);
  const issuer = tbs.next(TAG.sequence).raw;
  if (readName(issuer).parts.length === 0) throw malformed('the issuer has no name');
  const validity = tbs.enter();
  const [notBefore, notAfter] = [timeOf(validity.next()), timeOf(validity.next())];
  validity.end();
  const subject = tbs.next(TAG.sequence).raw;
  const { commonName } = readName(subject);
  const spki = tbs.next(TAG.sequence).raw;
  checkSpki(spki);
  // the unique identifiers of version 2 would stand here; nobody writes them (RFC 5280, 4.1.2.8), and none is read
  const wrapped = tbs.optional(0xa3);
  tbs.end();
  if (wrapped !== undefined && version !== 3) throw malformed(`version ${version} has extensions`);
  const extensions = wrapped === undefined ? new Map<string, Uint8Array>() : readExtensions(wrapped.content);
  const values = readExtensionValues(extensions);
  return { der, serial, issuer, subject, commonName, notBefore, notAfter, spki, ...values, extensions, signed };
}

/** 1 is the default and therefore not written in DER. */
function readVersion(tbs: DerReader): number {
  if (tbs.peek() !== 0xa0) return 1;
  const explicit = tbs.enter(0xa0);
  const version = explicit.smallInteger() + 1;
  explicit.end();
  if (version !== 2 && version !== 3) throw malformed(`version ${version} does not exist, or is not written`);
  return version;
}

/** RFC 5280, 4.1.2.2. Zero may not be written, but is to be expected: certificates of AMD's processors have it. */
function readSerial(tbs: DerReader): string {
  const content = tbs.integer();
  const size = content[0] === 0 ? content.length - 1 : content.length;
  if ((content[0] ?? 0) >= 0x80) throw malformed('the serial number is negative');
  if (size > SERIAL_LIMIT) throw malformed(`the serial number has ${size} bytes`);
  return toHex(content);
}

/** The key itself is read where it is used. */
function checkSpki(spki: Uint8Array): void {
  const reader = new DerReader(spki).enter();
  readAlgorithm(reader.enter());
  reader.wholeBits();
  reader.end();
}

/** `Extensions` of certificates and revocation lists: each at most once, and none critical that is not understood. */
export function readExtensions(
  content: Uint8Array,
  understood: ReadonlySet<string> = UNDERSTOOD,
): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  const outer = new DerReader(content);
  const list = outer.enter();
  outer.end();
  do {
    const entry = list.enter();
    const oid = entry.oid();
    const critical = entry.flag();
    const value = entry.next(TAG.octetString).content;
    entry.end();
    if (critical && !understood.has(oid)) throw malformed(`critical extension ${oid} is not understood`);
    if (found.has(oid)) throw malformed(`extension ${oid} occurs twice`);
    found.set(oid, value);
  } while (list.more);
  return found;
}

/**
 * All certificates of a PEM text in their order.
 * @param only nothing but line ends (and the zero byte that ends a C string) may stand around them
 * @throws CERT_INVALID when there is none, or more than 8
 */
export function parsePemChain(text: string, only = false): Certificate[] {
  if (only && !isPemOnly(text, LABEL)) throw invalid('there is unknown content in or around the certificates');
  let blocks: Uint8Array[];
  try {
    blocks = pemBlocks(text, LABEL);
  } catch (thrown) {
    throw invalid('the certificates cannot be read', thrown);
  }
  if (blocks.length === 0) throw invalid('the text does not hold a certificate in PEM form');
  if (blocks.length > CHAIN_LIMIT) throw invalid(`the text holds ${blocks.length} certificates`);
  return blocks.map(parseCertificate);
}

/** The one certificate of a PEM text. @param what names it in errors: `the trusted root` @throws CERT_INVALID */
export function parsePemCertificate(text: string, what = 'the certificate'): Certificate {
  const [only, ...more] = parsePemChain(text);
  if (only === undefined || more.length > 0) {
    throw invalid(`${what} must be one certificate, the text holds ${more.length + 1}`);
  }
  return only;
}

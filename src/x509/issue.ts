/**
 * Making certificates in the one shape every part of dstack uses: X.509 v3, ECDSA P-256 with SHA-256, UTF8String names,
 * a fixed order of extensions. Source: dstack keys and certificates, common shape.
 */
import { createHash, type KeyObject, randomBytes } from 'node:crypto';
import { DstackError } from '../errors.ts';
import { type Certificate, parsePemChain } from './certificate.ts';
import * as der from './der-write.ts';
import { dstackExtension, extension } from './extensions.ts';
import { generalName } from './names.ts';
import { OID } from './oids.ts';
import { toPem } from './pem.ts';
import { type SigningKey, signingKeyObject, signP256 } from './sign-p256.ts';

/** 1975-01-01T00:00:00Z: certificates must also be valid in a VM whose clock is not set yet. */
const DEFAULT_NOT_BEFORE = Date.UTC(1975, 0, 1) / 1000;
const DEFAULT_LIFETIME = 3650 * 86_400;
/** 9999-12-31T23:59:59Z, the last time X.509 can write */
export const LAST_TIME = 253_402_300_799;

export interface CertificateRequest {
  readonly commonName: string;
  readonly organization?: string | undefined;
  /** IP literals become iPAddress, everything else dNSName (ASCII only) */
  readonly altNames?: readonly string[];
  readonly serverAuth?: boolean;
  readonly clientAuth?: boolean;
  /** makes it a CA with this path length */
  readonly ca?: { readonly pathLength: number };
  /** Unix seconds; default 1975 */
  readonly notBefore?: number | undefined;
  /** Unix seconds; default ten years from now */
  readonly notAfter?: number | undefined;
  /** 20 bytes */
  readonly appId?: Uint8Array | undefined;
  /** msgpack bytes */
  readonly appInfo?: Uint8Array | undefined;
  readonly usage?: string | undefined;
  /** versioned attestation bytes, already stripped */
  readonly attestation?: Uint8Array | undefined;
}

/** Who signs: a CA certificate (PEM) with its key; without it the certificate is self-signed. */
export interface Issuer {
  readonly certificate: string;
  readonly key: SigningKey;
}

/** An issuer whose certificate was read and compared with its key already. */
export interface PreparedIssuer {
  /** DER of its name */
  readonly subject: Uint8Array;
  readonly signingKey: KeyObject;
}

/** For whoever issues more than once. @throws CERT_INVALID (a certificate that is not for this key), KEY_INVALID */
export function prepareIssuer(issuer: Issuer): PreparedIssuer {
  return { subject: issuerName(issuer), signingKey: signingKeyObject(issuer.key.pkcs8Der, 'the issuer') };
}

/**
 * Makes one certificate for `key` (only its SPKI is needed beside an issuer).
 * @returns PEM with trailing newline
 * @throws CERT_INVALID (alternative name, validity, issuer key that does not match its certificate), KEY_INVALID
 */
export async function issueCertificate(
  request: CertificateRequest,
  key: SigningKey | Pick<SigningKey, 'spkiDer'>,
  issuer?: Issuer | PreparedIssuer,
): Promise<string> {
  const signer = signerOf(key, issuer);
  const subject = name(request);
  const { notBefore, notAfter } = validity(request);
  const body = der.sequence(
    der.item(0xa0, der.integer(Uint8Array.of(2))), // version 3
    der.integer(serialNumber()),
    ECDSA_SHA256,
    issuer === undefined ? subject : 'subject' in issuer ? issuer.subject : issuerName(issuer),
    der.sequence(der.time(notBefore), der.time(notAfter)),
    subject,
    key.spkiDer,
    der.item(0xa3, der.sequence(...extensions(request, key.spkiDer))),
  );
  return toPem('CERTIFICATE', der.sequence(body, ECDSA_SHA256, der.bits(signP256(body, signer, 'the issuer'))));
}

function signerOf(key: Partial<SigningKey>, issuer: Issuer | PreparedIssuer | undefined): Uint8Array | KeyObject {
  if (issuer !== undefined) return 'signingKey' in issuer ? issuer.signingKey : issuer.key.pkcs8Der;
  if (key.pkcs8Der !== undefined) return key.pkcs8Der;
  throw new DstackError('CERT_INVALID', 'a self-signed certificate needs its key');
}

const ECDSA_SHA256 = der.sequence(der.oid(OID.ecdsaSha256));

/** Organization first, each attribute in a set of its own. */
function name({ organization, commonName }: CertificateRequest): Uint8Array {
  const attribute = (type: string, value: string) => der.set(der.sequence(der.oid(type), der.utf8String(value)));
  const first = organization === undefined ? [] : [attribute(OID.organization, organization)];
  return der.sequence(...first, attribute(OID.commonName, commonName));
}

/** The subject of the issuer's certificate, bytes unchanged. */
function issuerName({ certificate, key }: Issuer): Uint8Array {
  let found: Certificate | undefined;
  try {
    [found] = parsePemChain(certificate);
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'the CA certificate cannot be read', { cause: thrown });
  }
  if (found === undefined || !Buffer.from(found.spki).equals(key.spkiDer))
    throw new DstackError('CERT_INVALID', 'CA certificate does not match private key');
  return found.subject;
}

/** 20 random bytes, positive and without a leading zero byte (RFC 5280, 4.1.2.2). */
function serialNumber(): Uint8Array {
  const bytes = randomBytes(20);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes;
}

/** Unix seconds. */
function validity(request: CertificateRequest): { notBefore: number; notAfter: number } {
  const now = Math.floor(Date.now() / 1000);
  return {
    notBefore: time('not_before', request.notBefore ?? DEFAULT_NOT_BEFORE),
    notAfter: time('not_after', request.notAfter ?? now + DEFAULT_LIFETIME),
  };
}

function time(field: string, seconds: number): number {
  if (!Number.isSafeInteger(seconds) || seconds < 0 || seconds > LAST_TIME) {
    throw new DstackError('CERT_INVALID', `${field} is not a time that a certificate can hold`, {
      field,
      value: seconds,
    });
  }
  return seconds;
}

/** Bits of KeyUsage (RFC 5280, 4.2.1.3): digitalSignature; for a CA also keyCertSign and cRLSign. */
const LEAF_USES = der.bits(Uint8Array.of(0x80), 7);
const CA_USES = der.bits(Uint8Array.of(0x86), 1);

/** Order: SAN, KeyUsage, EKU, for CAs SubjectKeyIdentifier and BasicConstraints, then .3, .9, .4, .8. */
function extensions(request: CertificateRequest, spkiDer: Uint8Array): Uint8Array[] {
  const out: Uint8Array[] = [];
  const names = (request.altNames ?? []).map(altName);
  if (names.length > 0) out.push(extension(OID.subjectAltName, der.sequence(...names)));
  out.push(extension(OID.keyUsage, request.ca ? CA_USES : LEAF_USES, true));
  const extended = [
    ...(request.serverAuth ? [der.oid(OID.serverAuth)] : []),
    ...(request.clientAuth ? [der.oid(OID.clientAuth)] : []),
  ];
  if (extended.length > 0) out.push(extension(OID.extendedKeyUsage, der.sequence(...extended)));
  if (request.ca !== undefined) {
    const identifier = createHash('sha256').update(spkiDer).digest().subarray(0, 20);
    out.push(extension(OID.subjectKeyIdentifier, der.octets(identifier)));
    const length = der.integer(Uint8Array.of(request.ca.pathLength));
    out.push(extension(OID.basicConstraints, der.sequence(der.booleanTrue(), length), true));
  }
  const { appId, appInfo, usage, attestation } = request;
  if (appId !== undefined) out.push(dstackExtension(OID.appId, appId));
  if (appInfo !== undefined) out.push(dstackExtension(OID.appInfo, appInfo));
  if (usage !== undefined) out.push(dstackExtension(OID.usage, Buffer.from(usage)));
  if (attestation !== undefined) out.push(dstackExtension(OID.attestation, attestation));
  return out;
}

/** What an alternative name may consist of. */
export const ALT_NAME = /^[\u0000-\u007f]*$/;

/** One GeneralName: iPAddress, or dNSName. @throws CERT_INVALID */
function altName(text: string, index: number): Uint8Array {
  if (!ALT_NAME.test(text)) {
    const field = `alt_names[${index}]`;
    throw new DstackError('CERT_INVALID', `${field} must be ASCII`, { field, value: text });
  }
  return generalName(text);
}

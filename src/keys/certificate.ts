/**
 * Making certificates in the one shape every part of dstack uses: X.509 v3, ECDSA P-256 with SHA-256, UTF8String names,
 * a fixed order of extensions. Source: dstack keys and certificates, common shape.
 */
import { createHash, createPublicKey, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { DstackError } from '../errors.ts';
import { type P256Key, toPem } from './derive.ts';
import { makeExtension, OID } from './extensions.ts';
import { loadX509, type X509 } from './x509.ts';

/** 1975-01-01T00:00:00Z: certificates must also be valid in a VM whose clock is not set yet. */
const DEFAULT_NOT_BEFORE = Date.UTC(1975, 0, 1) / 1000;
const DEFAULT_LIFETIME = 3650 * 86_400;
/** 9999-12-31T23:59:59Z, the last time X.509 can write */
const LAST_TIME = 253_402_300_799;

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
  readonly key: P256Key;
}

/**
 * Makes one certificate for `key` (only its SPKI is needed beside an issuer).
 * @returns PEM with trailing newline
 * @throws CERT_INVALID (alternative name, validity, issuer key that does not match its certificate)
 */
export async function issueCertificate(
  request: CertificateRequest,
  key: P256Key | Pick<P256Key, 'spkiDer'>,
  issuer?: Issuer,
): Promise<string> {
  const x509 = await loadX509();
  const signer: Partial<P256Key> = issuer?.key ?? key;
  if (signer.pkcs8Der === undefined) throw new DstackError('CERT_INVALID', 'a self-signed certificate needs its key');
  const subject = subjectName(x509, request);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: issuer === undefined ? subject : issuerName(x509, issuer),
    ...validity(request),
    publicKey: new Uint8Array(key.spkiDer),
    signingKey: await importSigningKey(signer.pkcs8Der),
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
    extensions: extensions(x509, request, key.spkiDer),
  });
  return toPem('CERTIFICATE', new Uint8Array(certificate.rawData));
}

function subjectName({ Name }: X509, { organization, commonName }: CertificateRequest): InstanceType<X509['Name']> {
  return new Name([
    ...(organization === undefined ? [] : [{ O: [{ utf8String: organization }] }]),
    { CN: [{ utf8String: commonName }] },
  ]);
}

/** The subject of the issuer's certificate, bytes unchanged. */
function issuerName({ X509Certificate }: X509, { certificate, key }: Issuer): InstanceType<X509['Name']> {
  let parsed: InstanceType<X509['X509Certificate']>;
  let spki: Buffer;
  try {
    parsed = new X509Certificate(certificate);
    spki = createPublicKey(certificate).export({ format: 'der', type: 'spki' });
  } catch (thrown) {
    throw new DstackError('CERT_INVALID', 'the CA certificate cannot be read', { cause: thrown });
  }
  if (!spki.equals(key.spkiDer)) throw new DstackError('CERT_INVALID', 'CA certificate does not match private key');
  return parsed.subjectName;
}

/** 20 random bytes, positive and without a leading zero byte (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(20);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString('hex');
}

function validity(request: CertificateRequest): { notBefore: Date; notAfter: Date } {
  const now = Math.floor(Date.now() / 1000);
  return {
    notBefore: time('not_before', request.notBefore ?? DEFAULT_NOT_BEFORE),
    notAfter: time('not_after', request.notAfter ?? now + DEFAULT_LIFETIME),
  };
}

function time(field: string, seconds: number): Date {
  if (!Number.isSafeInteger(seconds) || seconds < 0 || seconds > LAST_TIME) {
    throw new DstackError('CERT_INVALID', `${field} is no time a certificate can hold`, { field, value: seconds });
  }
  return new Date(seconds * 1000);
}

async function importSigningKey(pkcs8Der: Uint8Array): Promise<webcrypto.CryptoKey> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  return webcrypto.subtle.importKey('pkcs8', new Uint8Array(pkcs8Der), algorithm, false, ['sign']);
}

/** Order: SAN, KeyUsage, EKU, for CAs SubjectKeyIdentifier and BasicConstraints, then .3, .9, .4, .8. */
function extensions(x509: X509, request: CertificateRequest, spkiDer: Uint8Array): InstanceType<X509['Extension']>[] {
  const { KeyUsageFlags: flag } = x509;
  const out: InstanceType<X509['Extension']>[] = [];
  const names = (request.altNames ?? []).map(altName);
  if (names.length > 0) out.push(new x509.SubjectAlternativeNameExtension(names));
  const usages = flag.digitalSignature | (request.ca ? flag.keyCertSign | flag.cRLSign : 0);
  out.push(new x509.KeyUsagesExtension(usages, true));
  const extended = [
    ...(request.serverAuth ? [x509.ExtendedKeyUsage.serverAuth] : []),
    ...(request.clientAuth ? [x509.ExtendedKeyUsage.clientAuth] : []),
  ];
  if (extended.length > 0) out.push(new x509.ExtendedKeyUsageExtension(extended));
  if (request.ca !== undefined) {
    const identifier = createHash('sha256').update(spkiDer).digest('hex').slice(0, 40);
    out.push(new x509.SubjectKeyIdentifierExtension(identifier));
    out.push(new x509.BasicConstraintsExtension(true, request.ca.pathLength, true));
  }
  const { appId, appInfo, usage, attestation } = request;
  if (appId !== undefined) out.push(makeExtension(x509, OID.appId, appId));
  if (appInfo !== undefined) out.push(makeExtension(x509, OID.appInfo, appInfo));
  if (usage !== undefined) out.push(makeExtension(x509, OID.usage, Buffer.from(usage)));
  if (attestation !== undefined) out.push(makeExtension(x509, OID.attestation, attestation));
  return out;
}

function altName(name: string, index: number): { type: 'ip' | 'dns'; value: string } {
  if (!/^[\u0000-\u007f]*$/.test(name)) {
    const field = `alt_names[${index}]`;
    throw new DstackError('CERT_INVALID', `${field} must be ASCII`, { field, value: name });
  }
  const kind = name.includes('%') ? 0 : isIP(name); // a zone is no part of an address
  if (kind === 0) return { type: 'dns', value: name };
  return { type: 'ip', value: kind === 6 ? hexGroups(name) : name };
}

/** An IPv6 address without a dotted tail: the X.509 library misreads `::ffff:1.2.3.4`. */
const hexGroups = (address: string): string => new URL(`http://[${address}]`).hostname.slice(1, -1);

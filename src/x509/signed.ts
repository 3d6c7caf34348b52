/** What certificates and revocation lists share: signed bytes, their algorithm and their signature (RFC 5280, 4.1.1). */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { DstackError } from '../errors.ts';
import { DerReader, malformed, TAG } from './der.ts';
import { OID } from './oids.ts';

export interface SignedPart {
  /** DER of the part that is signed */
  readonly tbs: Uint8Array;
  /** object identifier of the signature algorithm, and the DER of the AlgorithmIdentifier around it */
  readonly algorithm: string;
  readonly identifier: Uint8Array;
  /** DER */
  readonly signature: Uint8Array;
}

/** Reads the outer SEQUENCE. @throws CODEC_INVALID */
export function readSigned(der: Uint8Array): SignedPart {
  const file = new DerReader(der);
  const outer = file.enter();
  file.end();
  const tbs = outer.next(TAG.sequence).raw;
  const { raw: identifier, content } = outer.next(TAG.sequence);
  const signature = outer.wholeBits();
  outer.end();
  const algorithm = readAlgorithm(new DerReader(content));
  return { tbs, algorithm, identifier, signature };
}

/**
 * The object identifier of an AlgorithmIdentifier (4.1.1.2). Its parameters are one value of the kinds that are in use: an
 * identifier (curves), NULL (RSA), a SEQUENCE, which is not looked into.
 * @param content reader of what is inside @throws CODEC_INVALID
 */
export function readAlgorithm(content: DerReader): string {
  const algorithm = content.oid();
  // ECDSA has no parameters (RFC 5758, 3.2)
  if (content.more && algorithm !== OID.ecdsaSha256) {
    if (content.peek() === TAG.oid) content.oid();
    else if (content.peek() === TAG.null) content.enter(TAG.null).end();
    else content.next(TAG.sequence);
  }
  content.end();
  return algorithm;
}

/** @param inner AlgorithmIdentifier inside the signed bytes @throws CODEC_INVALID unless it is the outer one (4.1.1.2) */
export function checkInnerAlgorithm({ identifier }: SignedPart, inner: Uint8Array): void {
  if (Buffer.compare(inner, identifier) !== 0) throw malformed('the signature algorithm inside is not the one outside');
}

/** The key of a SubjectPublicKeyInfo. @throws CERT_INVALID unless it is a P-256 key */
export function publicKeyOf(spki: Uint8Array): KeyObject {
  let cause: unknown;
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    if (key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return key;
  } catch (thrown) {
    cause = thrown;
  }
  throw new DstackError('CERT_INVALID', 'the public key is not a P-256 key', { cause });
}

/**
 * True if `signed` was signed by the key.
 * @param spki SubjectPublicKeyInfo
 * @throws CERT_INVALID for another algorithm than ECDSA with SHA-256, and for a key that is not on P-256
 */
export function isSignedBy(signed: SignedPart, spki: Uint8Array): boolean {
  if (signed.algorithm !== OID.ecdsaSha256) {
    throw new DstackError('CERT_INVALID', `signature algorithm ${signed.algorithm} is not ECDSA with SHA-256`);
  }
  return verify('sha256', signed.tbs, publicKeyOf(spki), signed.signature);
}

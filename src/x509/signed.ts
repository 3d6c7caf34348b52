/** What certificates and revocation lists share: signed bytes, their algorithm and their signature (RFC 5280, 4.1.1). */
import { sameBytes } from '../codec/bytes.ts';
import { p256PublicKey, type VerifyingKey } from '../crypto/p256.ts';
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
  if (!sameBytes(inner, identifier)) throw malformed('the signature algorithm inside is not the one outside');
}

/** The key of a SubjectPublicKeyInfo (RFC 5480). @throws CERT_INVALID unless it is a P-256 key */
export function publicKeyOf(spki: Uint8Array): VerifyingKey {
  let cause: unknown;
  try {
    const file = new DerReader(spki);
    const outer = file.enter();
    file.end();
    const algorithm = outer.enter();
    const named = algorithm.oid() === OID.ecPublicKey && algorithm.oid() === OID.p256;
    algorithm.end();
    const point = outer.wholeBits();
    outer.end();
    const key = named ? p256PublicKey(point) : undefined;
    if (key !== undefined) return key;
  } catch (thrown) {
    cause = thrown;
  }
  throw new DstackError('CERT_INVALID', 'the public key is not a P-256 key', { cause });
}

/** Bytes of r and of s. */
const SCALAR = 32;

/** r | s of an Ecdsa-Sig-Value (RFC 3279, 2.2.3); undefined for anything else, which is not a signature of anybody. */
export function plainSignature(der: Uint8Array): Uint8Array | undefined {
  const out = new Uint8Array(2 * SCALAR);
  try {
    const file = new DerReader(der);
    const pair = file.enter();
    file.end();
    for (const end of [SCALAR, 2 * SCALAR]) {
      const content = pair.integer();
      if ((content[0] ?? 0) >= 0x80) return undefined;
      const digits = content[0] === 0 ? content.subarray(1) : content;
      if (digits.length > SCALAR) return undefined;
      out.set(digits, end - digits.length);
    }
    pair.end();
    return out;
  } catch {
    return undefined;
  }
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
  const key = publicKeyOf(spki);
  const signature = plainSignature(signed.signature);
  return signature !== undefined && key.verify(signed.tbs, signature);
}

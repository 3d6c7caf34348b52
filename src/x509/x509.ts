/**
 * The face of the room: what other rooms use of certificates and of the encodings below them. The files behind it are
 * not imported from elsewhere.
 */
export {
  type Certificate,
  checkIssuedInOrder,
  isSignedBy,
  parseCertificate,
  parsePemChain,
  publicKeyOf,
  readSigned,
  type SignedPart,
} from './certificate.ts';
export { type ChainRules, checkChain, type TrustedLeaf } from './chain.ts';
export { type Crl, checkCrl, isRevoked, parseCrl } from './crl.ts';
export { type DerItem, DerReader, oidText, TAG, timeOf } from './der.ts';
export { dstackExtension, extension, OID, readExtension, readOctetString } from './extensions.ts';
export { type CertificateRequest, type Issuer, issueCertificate } from './issue.ts';
export { fromPem, toPem } from './pem.ts';
export { type SigningKey, signP256 } from './sign-p256.ts';

/**
 * The face of the room: what other rooms use of certificates and of the encodings below them. The files behind it are not
 * imported from elsewhere; nothing in them runs at import but the making of small constants.
 */
export {
  type Certificate,
  parseCertificate,
  parsePemCertificate,
  parsePemChain,
} from './certificate.ts';
export { type ChainRules, checkChain, checkIssued } from './chain.ts';
export { type Crl, checkCrl, isRevoked, parseCrl } from './crl.ts';
export { type DerItem, DerReader, oidText, TAG, timeOf } from './der.ts';
export * as derWrite from './der-write.ts';
export { dstackExtension, extension, readExtension, readOctetString } from './extensions.ts';
export {
  ALT_NAME,
  type CertificateRequest,
  type Issuer,
  issueCertificate,
  LAST_TIME,
  type PreparedIssuer,
  prepareIssuer,
} from './issue.ts';
export { OID } from './oids.ts';
export { fromPem, pemSpan, toPem } from './pem.ts';
export { type SigningKey, signP256 } from './sign-p256.ts';
export { isSignedBy, plainSignature, publicKeyOf } from './signed.ts';

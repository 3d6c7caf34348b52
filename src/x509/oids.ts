/** Object identifiers that certificates of dstack and of Intel are made of: the one table. */

const DSTACK = '1.3.6.1.4.1.62397.1';
const CE = '2.5.29';

/** Source: RFC 5280 and RFC 5758 where nothing else is said. */
export const OID = {
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  ecdsaSha256: '1.2.840.10045.4.3.2',

  commonName: '2.5.4.3',
  organization: '2.5.4.10',

  subjectKeyIdentifier: `${CE}.14`,
  keyUsage: `${CE}.15`,
  subjectAltName: `${CE}.17`,
  basicConstraints: `${CE}.19`,
  crlNumber: `${CE}.20`,
  nameConstraints: `${CE}.30`,
  crlDistributionPoints: `${CE}.31`,
  authorityKeyIdentifier: `${CE}.35`,
  extendedKeyUsage: `${CE}.37`,
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',

  /** Intel SGX PCK Certificate and CRL Profile Specification */
  sgx: '1.2.840.113741.1.13.1',

  // extensions of dstack (keys and certificates, extensions)
  /** raw quote of old certificates, read only */
  legacyQuote: `${DSTACK}.1`,
  /** event log JSON of old certificates, read only */
  legacyEventLog: `${DSTACK}.2`,
  /** 20 bytes */
  appId: `${DSTACK}.3`,
  /** UTF-8 text: app:ca, app:custom, kms:rpc ... */
  usage: `${DSTACK}.4`,
  /** versioned attestation bytes */
  attestation: `${DSTACK}.8`,
  /** msgpack */
  appInfo: `${DSTACK}.9`,
} as const;

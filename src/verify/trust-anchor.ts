/** The root certificate that a verification starts from. */
import { toHex } from '../codec/hex.ts';
import { latin1 } from '../codec/text.ts';
import { sha256 } from '../crypto/hash.ts';
import { type Certificate, parseCertificate, parsePemCertificate } from '../x509/x509.ts';
import { INTEL_ROOT_PEM, INTEL_ROOT_SHA256 } from './intel-root.ts';

export interface TrustAnchor {
  readonly certificate: Certificate;
  readonly name: string;
  /** hex, of the DER form */
  readonly sha256: string;
  /** Intel's own: what a quote under any other root proves depends on who keeps its key */
  readonly intel: boolean;
}

/** Intel's root. */
export const intelAnchor = (): TrustAnchor => anchorOf(parsePemCertificate(INTEL_ROOT_PEM));

/** The root in PEM or DER. @throws CERT_INVALID, CODEC_INVALID, KEY_INVALID */
export function anchorOfFile(bytes: Uint8Array): TrustAnchor {
  if (bytes[0] === 0x30) return anchorOf(parseCertificate(bytes));
  return anchorOf(parsePemCertificate(latin1(bytes), 'the root'));
}

function anchorOf(certificate: Certificate): TrustAnchor {
  const hash = toHex(sha256(certificate.der));
  return { certificate, name: certificate.commonName, sha256: hash, intel: hash === INTEL_ROOT_SHA256 };
}

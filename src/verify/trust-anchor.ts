/** The root certificate that a verification starts from. */
import { toHex } from '../codec/hex.ts';
import { latin1 } from '../codec/text.ts';
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import { type Certificate, parseCertificate, parsePemCertificate } from '../x509/x509.ts';
import type { ExpectationFile } from './expectation-file.ts';
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

/**
 * The root that an expectation file demands; its silence means Intel's.
 * @param given a root named beside the file
 * @throws INPUT_INVALID when that is another one, or when the file has only the hash of its root and none is given
 */
export function expectedAnchor({ root }: Pick<ExpectationFile, 'root'>, given: TrustAnchor | undefined): TrustAnchor {
  const own = root !== undefined && 'certificate' in root ? anchorOf(root.certificate) : undefined;
  const anchor = given ?? own ?? intelAnchor();
  const wanted = root === undefined ? INTEL_ROOT_SHA256 : 'sha256' in root ? root.sha256 : own?.sha256;
  if (anchor.sha256 === wanted) return anchor;
  const whose = root === undefined ? 'Intel’s root, ' : '';
  throw new DstackError(
    'INPUT_INVALID',
    given === undefined
      ? '--root-ca is missing: the expectation file has only the hash of its root'
      : `--root-ca has SHA-256 ${anchor.sha256}, the expectation file demands ${whose}${wanted}`,
    {
      field: '--root-ca',
      value: given?.name,
      hint:
        given === undefined
          ? `give --root-ca with the certificate whose SHA-256 is ${wanted}`
          : 'an expectation file names its root: write it there with `dstack-util verify init --root-ca`',
    },
  );
}

function anchorOf(certificate: Certificate): TrustAnchor {
  const hash = toHex(sha256(certificate.der));
  return { certificate, name: certificate.commonName, sha256: hash, intel: hash === INTEL_ROOT_SHA256 };
}

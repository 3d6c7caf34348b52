/** Files a verification starts from. A file that cannot be read proves nothing about the guest. */
import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import { readStdin } from '../sys/stdin.ts';
import { type Certificate, parseCertificate, parsePemCertificate } from '../x509/x509.ts';
import { INTEL_ROOT_PEM, INTEL_ROOT_SHA256 } from './intel-root.ts';
import { EVIDENCE_LIMIT } from './recognise.ts';

const ROOT_LIMIT = 64 * 1024;

/**
 * Reads evidence from a file or, with `-`, from stdin.
 * @throws EVIDENCE_UNCHECKED when it cannot be read, or is too large to be evidence
 */
export async function readInput(file: string): Promise<Uint8Array> {
  if (file === '-') return readStdin(EVIDENCE_LIMIT);
  try {
    return await readLimited(await fs.realpath(file), EVIDENCE_LIMIT, file);
  } catch (thrown) {
    const large = thrown instanceof DstackError && thrown.code === 'FILE_TOO_LARGE';
    throw new DstackError('EVIDENCE_UNCHECKED', `${file} ${large ? 'is too large to be evidence' : 'cannot be read'}`, {
      path: file,
      cause: thrown,
    });
  }
}

export interface TrustAnchor {
  readonly certificate: Certificate;
  readonly name: string;
  /** hex, of the DER form */
  readonly sha256: string;
  /** Intel's own: what a quote under any other root proves depends on who keeps its key */
  readonly intel: boolean;
}

/** Intel's root, or the one in a PEM or DER file. @throws EVIDENCE_UNCHECKED when that file holds no certificate */
export async function trustAnchor(file: string | undefined): Promise<TrustAnchor> {
  if (file === undefined) return anchorOf(parsePemCertificate(INTEL_ROOT_PEM));
  try {
    const bytes = await readLimited(await fs.realpath(file), ROOT_LIMIT, file);
    if (bytes[0] === 0x30) return anchorOf(parseCertificate(bytes));
    return anchorOf(parsePemCertificate(Buffer.from(bytes).toString('latin1'), 'the root'));
  } catch (thrown) {
    throw new DstackError('EVIDENCE_UNCHECKED', `root certificate ${file} cannot be used`, {
      path: file,
      cause: thrown,
    });
  }
}

function anchorOf(certificate: Certificate): TrustAnchor {
  const sha256 = toHex(createHash('sha256').update(certificate.der).digest());
  return { certificate, name: certificate.commonName, sha256, intel: sha256 === INTEL_ROOT_SHA256 };
}

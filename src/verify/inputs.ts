/** Files a verification starts from. A file that cannot be read proves nothing about the guest. */
import * as fs from 'node:fs/promises';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import { readStdin } from '../sys/stdin.ts';
import { EVIDENCE_LIMIT } from './recognise.ts';
import { anchorOfFile, intelAnchor, type TrustAnchor } from './trust-anchor.ts';

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

/** Intel's root, or the one in a PEM or DER file. @throws EVIDENCE_UNCHECKED when that file holds no certificate */
export async function trustAnchor(file: string | undefined): Promise<TrustAnchor> {
  if (file === undefined) return intelAnchor();
  try {
    return anchorOfFile(await readLimited(await fs.realpath(file), ROOT_LIMIT, file));
  } catch (thrown) {
    throw new DstackError('EVIDENCE_UNCHECKED', `root certificate ${file} cannot be used`, {
      path: file,
      cause: thrown,
    });
  }
}

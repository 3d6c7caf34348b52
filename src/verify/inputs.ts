/** Files a verification starts from. A file that cannot be read proves nothing about the guest. */
import * as fs from 'node:fs/promises';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import { readStdin } from '../sys/stdin.ts';
import type { ExpectationFile } from './expectation-file.ts';
import { EVIDENCE_LIMIT } from './recognise.ts';
import { anchorOfFile, expectedAnchor, intelAnchor, type TrustAnchor } from './trust-anchor.ts';

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

/**
 * Reads a document that says what is expected.
 * @throws EVIDENCE_UNCHECKED when it cannot be read or used, with the field and the hint of what refused it
 */
export async function readDocument<T>(file: string, parse: (bytes: Uint8Array, path: string) => T): Promise<T> {
  const bytes = await readInput(file);
  try {
    return parse(bytes, file);
  } catch (thrown) {
    const { field, value, hint } = thrown instanceof DstackError ? thrown : {};
    throw new DstackError('EVIDENCE_UNCHECKED', `${file} cannot be used to judge`, {
      ...{ path: file, field, value, cause: thrown },
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/**
 * Intel's root, the one of an expectation file, or the one in a PEM or DER file.
 * @throws EVIDENCE_UNCHECKED when that file holds no certificate, INPUT_INVALID when it is not the root of the expectation file
 */
export async function trustAnchor(
  file: string | undefined,
  expected?: Pick<ExpectationFile, 'root'>,
): Promise<TrustAnchor> {
  const given = file === undefined ? undefined : await anchorIn(file);
  return expected === undefined ? (given ?? intelAnchor()) : expectedAnchor(expected, given);
}

async function anchorIn(file: string): Promise<TrustAnchor> {
  try {
    return anchorOfFile(await readLimited(await fs.realpath(file), ROOT_LIMIT, file));
  } catch (thrown) {
    throw new DstackError('EVIDENCE_UNCHECKED', `root certificate ${file} cannot be used`, {
      path: file,
      cause: thrown,
    });
  }
}

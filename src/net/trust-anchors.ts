/**
 * Which root evidence of peers must lead to: Intel's, or in a development VM the one its simulator has published. A
 * published root replaces Intel's, so a folder that anybody else could have written is an error and never ignored.
 * Source: dstack simulators, trust anchors.
 */
import type { Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import { parsePemCertificate } from '../x509/x509.ts';

export const ANCHOR_DIR = '/run/dstack/attestation';
const LIMIT = 64 * 1024;

const invalid = (path: string, why: string, cause?: unknown): DstackError =>
  new DstackError('TRUST_ANCHORS_INVALID', `${path} ${why}`, { path, cause });

/**
 * The published root for TDX evidence (DER), or undefined: then Intel's root counts.
 * @throws TRUST_ANCHORS_INVALID (owner, mode, link, place, content)
 */
export async function publishedTdxRoot(dir: string = ANCHOR_DIR): Promise<Uint8Array | undefined> {
  const list = `${dir}/roots.json`;
  const found = await lstat(list);
  if (found === undefined) return undefined;
  const folder = await lstat(dir);
  if (folder === undefined || !folder.isDirectory()) throw invalid(dir, 'is not a folder');
  checkOwner(dir, folder);
  const roots = parseRoots(await readOwned(list), list);
  const path = roots['tdx'];
  if (typeof path !== 'string') throw invalid(list, 'names no root for tdx');
  if (!isAbsolute(path) || path.includes('/../') || dirname(path) !== dir) {
    throw invalid(list, `names a root outside of ${dir}`);
  }
  const pem = Buffer.from(await readOwned(path)).toString('latin1');
  try {
    return parsePemCertificate(pem).der;
  } catch (thrown) {
    throw invalid(path, 'is not a certificate', thrown);
  }
}

async function lstat(path: string): Promise<Stats | undefined> {
  try {
    return await fs.lstat(path);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw invalid(path, 'cannot be read', thrown);
  }
}

function checkOwner(path: string, { uid, mode }: Stats): void {
  if (uid !== process.geteuid?.()) throw invalid(path, `belongs to user ${uid}, not to the one of this process`);
  if ((mode & 0o022) !== 0) throw invalid(path, 'may be written by group or others');
}

async function readOwned(path: string): Promise<Uint8Array> {
  const found = await lstat(path);
  if (found === undefined) throw invalid(path, 'does not exist');
  if (!found.isFile()) throw invalid(path, 'is not a regular file');
  checkOwner(path, found);
  try {
    return await readLimited(path, LIMIT);
  } catch (thrown) {
    throw invalid(path, 'cannot be read', thrown);
  }
}

function parseRoots(bytes: Uint8Array, path: string): Record<string, unknown> {
  try {
    const document = parseStrictJsonBytes(bytes, path);
    if (typeof document === 'object' && document !== null && !Array.isArray(document)) {
      return document as Record<string, unknown>;
    }
  } catch (thrown) {
    throw invalid(path, 'is not a JSON document', thrown);
  }
  throw invalid(path, 'is not a JSON object');
}

/** Report data: what a quote says about the world outside, as a tagged hash. Source: dstack measurement, report data. */
import { keccak_256, keccak_384, keccak_512, sha3_256, sha3_384, sha3_512 } from '@noble/hashes/sha3';
import { concat } from '../codec/bytes.ts';
import { utf8Bytes } from '../codec/text.ts';
import { sha256, sha384, sha512 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';

/** Bytes of report data in a TD report. */
export const REPORT_DATA_LENGTH = 64;

/** Tags of the hash; callers may use their own. */
export type ReportDataTag = 'kms-root-ca' | 'ratls-cert' | 'app-data' | (string & {});

type Hash = (data: Uint8Array) => Uint8Array;

// SHA-3 and Keccak come from noble: not every build of node:crypto has the first, none has the second
const HASHES = new Map<string, Hash>([
  ['', sha512],
  ['sha256', sha256],
  ['sha384', sha384],
  ['sha512', sha512],
  ['sha3-256', sha3_256],
  ['sha3-384', sha3_384],
  ['sha3-512', sha3_512],
  ['keccak256', keccak_256],
  ['keccak384', keccak_384],
  ['keccak512', keccak_512],
]);

const RAW = 'raw';

/** The names of hash algorithms that `reportData` knows. */
export const HASH_NAMES: readonly string[] = [...HASHES.keys(), RAW];

/**
 * 64 bytes: H(tag | ":" | content), left-aligned and zero padded; `raw` takes 64 bytes as they are. The empty name is sha512.
 * @throws REPORT_DATA_INVALID with the texts clients know: `invalid hash algorithm`, `invalid content length`
 */
export function reportData(algorithm: string, tag: ReportDataTag, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(REPORT_DATA_LENGTH);
  if (algorithm === RAW) {
    if (content.length !== REPORT_DATA_LENGTH) {
      throw new DstackError('REPORT_DATA_INVALID', 'invalid content length', {
        field: 'report_data',
        value: content.length,
      });
    }
    out.set(content);
    return out;
  }
  const hash = HASHES.get(algorithm);
  if (hash === undefined) {
    throw new DstackError('REPORT_DATA_INVALID', 'invalid hash algorithm', {
      field: 'hash_algorithm',
      value: algorithm,
    });
  }
  out.set(hash(concat(utf8Bytes(`${tag}:`), content)));
  return out;
}

/** The report data that ties a quote to a certificate key. `spkiDer` is its SubjectPublicKeyInfo. */
export const certReportData = (spkiDer: Uint8Array): Uint8Array => reportData('sha512', 'ratls-cert', spkiDer);

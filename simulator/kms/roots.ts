/** The root keys of the development KMS, in memory or kept in a folder. */
import { randomBytes } from 'node:crypto';
import { link, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { p256FromPem } from '../../src/keys/ca-cert.ts';
import type { P256Key } from '../../src/keys/derive.ts';
import { compressedPublicKey } from '../../src/keys/secp256k1.ts';
import { freshTlsKey, privateKeyPem } from '../../src/keys/tls-key.ts';
import { ifExists, readLimited, writeAtomic } from '../../src/sys/files.ts';
import { issueCertificate } from '../../src/x509/x509.ts';

export const ORGANIZATION = 'Dstack';
const FILE = 'kms-roots.json';
const FILE_LIMIT = 64 * 1024;

export interface Authority {
  readonly key: P256Key;
  /** PEM */
  readonly certificate: string;
}

export interface KmsRoots {
  /** signs the certificates of apps and of the KMS itself; its scalar is the parent of every disk and environment key */
  readonly ca: Authority;
  /** signs what guests show when they ask for keys; its key is given to everybody */
  readonly tempCa: Authority;
  /** 32 bytes, parent of the app keys on secp256k1 */
  readonly k256: Uint8Array;
}

/** New random roots. */
export async function freshRoots(): Promise<KmsRoots> {
  return {
    ca: await authority('Dstack KMS CA', 1),
    tempCa: await authority('Dstack Client Temp CA', 0),
    k256: freshK256(),
  };
}

async function authority(commonName: string, pathLength: number): Promise<Authority> {
  const key = freshTlsKey();
  return {
    key,
    certificate: await issueCertificate({ organization: ORGANIZATION, commonName, ca: { pathLength } }, key),
  };
}

function freshK256(): Uint8Array {
  for (;;) {
    const key = Uint8Array.from(randomBytes(32));
    try {
      compressedPublicKey(key); // zero and what is beyond the group order are not keys
      return key;
    } catch {}
  }
}

/**
 * The roots of a folder; made there the first time. The file is 0600 and appears whole or not at all; of two services that
 * start at the same time in an empty folder both use what the first one wrote.
 * @throws KEYS_FILE_INVALID for a damaged file, or one that others can read
 */
export async function openRoots(dir: string): Promise<KmsRoots> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, FILE);
  const kept = await ifExists(() => readRoots(path));
  if (kept !== undefined) return kept;
  const fresh = `${path}.${randomBytes(6).toString('hex')}`;
  await writeAtomic(fresh, format(await freshRoots()), 0o600);
  try {
    await link(fresh, path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  } finally {
    await rm(fresh, { force: true });
  }
  return readRoots(path);
}

const format = ({ ca, tempCa, k256 }: KmsRoots): string =>
  JSON.stringify(
    {
      root_ca_key: privateKeyPem(ca.key),
      root_ca_cert: ca.certificate,
      temp_ca_key: privateKeyPem(tempCa.key),
      temp_ca_cert: tempCa.certificate,
      k256_key: toHex(k256),
    },
    null,
    2,
  );

async function readRoots(path: string): Promise<KmsRoots> {
  const bytes = await readLimited(path, FILE_LIMIT);
  const refuse = (why: string) => new DstackError('KEYS_FILE_INVALID', `the roots of the KMS ${why}`, { path });
  if (((await stat(path)).mode & 0o077) !== 0) throw refuse('can be read by others: chmod 0600, or make new ones');
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>;
  } catch {
    throw refuse('are not JSON'); // no cause: it could quote a key
  }
  const text = (name: string): string => {
    const value = fields[name];
    if (typeof value !== 'string') throw refuse(`lack the field ${name}`);
    return value;
  };
  try {
    return {
      ca: { key: p256FromPem(text('root_ca_key')), certificate: text('root_ca_cert') },
      tempCa: { key: p256FromPem(text('temp_ca_key')), certificate: text('temp_ca_cert') },
      k256: fromHex(text('k256_key'), { length: 32 }),
    };
  } catch (thrown) {
    throw thrown instanceof DstackError && thrown.code === 'KEYS_FILE_INVALID' ? thrown : refuse('hold a damaged key');
  }
}

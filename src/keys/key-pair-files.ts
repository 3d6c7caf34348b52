/** Writing a certificate and its private key: the key first and never readable by others, each file atomically. */
import { resolve } from 'node:path';
import { DstackError } from '../errors.ts';
import { writeAtomic } from '../sys/files.ts';
import type { ClientCertificate } from './temp-cert.ts';

/** @throws INPUT_INVALID when both go to one file, FILE_IO */
export async function writeKeyPair(pair: ClientCertificate, certPath: string, keyPath: string): Promise<void> {
  if (resolve(certPath) === resolve(keyPath)) {
    throw new DstackError('INPUT_INVALID', 'the certificate and its key need two files', { path: keyPath });
  }
  await writeAtomic(keyPath, pair.key, 0o600);
  await writeAtomic(certPath, pair.certificate, 0o644);
}

/**
 * Keys and certificates that are made outside of a boot: a certificate authority for a KMS, keys of an app without any
 * provider. Source: dstack command line tools.
 */
import type { AppKeys } from '../config/app-keys.ts';
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import { localCaCert } from './ca-cert.ts';
import { certReportData, reportData } from './report-data.ts';
import { ephemeralKeys } from './seed-keys.ts';
import type { ClientCertificate, EvidenceSource } from './temp-cert.ts';
import { freshTlsKey, privateKeyPem } from './tls-key.ts';

const CA_NAME = 'App Root CA';
const CA_TAG = 'kms-root-ca';
/** longest chain a checker of this program accepts */
const MAX_LEVEL = 7;

/** Reads a path length: how many CAs may follow. @throws INPUT_INVALID */
export function parseCaLevel(text: string): number {
  if (/^[0-9]$/.test(text) && Number(text) <= MAX_LEVEL) return Number(text);
  throw new DstackError('INPUT_INVALID', `--ca-level must be a whole number from 0 to ${MAX_LEVEL}`, {
    field: '--ca-level',
    value: text,
  });
}

/** A self-signed CA with a new key; its evidence says that the key was made here. @throws errors of `attest` */
export async function generateCa(pathLength: number, attest: EvidenceSource): Promise<ClientCertificate> {
  const key = freshTlsKey();
  try {
    const attestation = await attest(reportData('sha512', CA_TAG, key.spkiDer));
    const certificate = await localCaCert({ appKey: key, attestation, commonName: CA_NAME, pathLength });
    return { certificate, key: privateKeyPem(key) };
  } finally {
    wipe(key.scalar, key.pkcs8Der);
  }
}

/**
 * New random keys of provider none. The caller wipes them.
 * @param attest undefined: the CA certificate carries no evidence
 */
export async function generateAppKeys(pathLength: number, attest?: EvidenceSource): Promise<AppKeys> {
  const { appKey, ...keys } = ephemeralKeys();
  try {
    const attestation = await attest?.(certReportData(appKey.spkiDer));
    return { ...keys, caCert: await localCaCert({ appKey, attestation, pathLength }) };
  } finally {
    wipe(appKey.scalar, appKey.pkcs8Der);
  }
}

/**
 * Certificate requests to the KMS: SCALE encoded, versions 1 (read only) and 2, signed with the certificate's own key.
 * The attestation inside must be made for that key (`certReportData`), whether or not it shall go into the certificate.
 * Source: dstack keys and certificates, CSR v2.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { ScaleReader, ScaleWriter } from '../codec/scale.ts';
import { DstackError } from '../errors.ts';
import { signP256 } from '../x509/x509.ts';
import type { P256Key } from './derive.ts';

/** What the certificate shall say. */
export interface CsrContent {
  /** SubjectPublicKeyInfo (DER) of the key to certify */
  readonly spkiDer: Uint8Array;
  readonly organization?: string | undefined;
  readonly commonName: string;
  readonly altNames: readonly string[];
  readonly serverAuth: boolean;
  readonly clientAuth: boolean;
  /** put the attestation into the certificate */
  readonly withQuote: boolean;
}

/** Version 2: what this program writes. */
export interface Csr extends CsrContent {
  /** put the identity of the app into the certificate */
  readonly withAppInfo: boolean;
  /** Unix seconds */
  readonly notBefore?: number | undefined;
  readonly notAfter?: number | undefined;
  /** versioned attestation bytes, not stripped */
  readonly attestation: Uint8Array;
}

/** Version 1, of older guests: quote and event log instead of an attestation. */
export interface CsrV1 extends CsrContent {
  readonly quote: Uint8Array;
  /** JSON */
  readonly eventLog: Uint8Array;
}

/** First field of every request: nothing else that is signed starts with it. */
const CONFIRM = 'please sign cert:';
const ATTESTATION_LIMIT = 10 * 1024 * 1024;
const SCALE_LIMIT = ATTESTATION_LIMIT + 1024 * 1024;

/** The bytes that are sent and signed. @throws CSR_INVALID for an attestation that is too large */
export function encodeCsr(csr: Csr): Uint8Array {
  if (csr.attestation.length > ATTESTATION_LIMIT) throw tooLarge('attestation', csr.attestation.length);
  const seconds = (writer: ScaleWriter, value: number) => writer.u64(BigInt(value));
  return new ScaleWriter()
    .string(CONFIRM)
    .bytes(csr.spkiDer)
    .option(csr.organization, (writer, value) => writer.string(value))
    .string(csr.commonName)
    .vector(csr.altNames, (writer, value) => writer.string(value))
    .bool(csr.serverAuth)
    .bool(csr.clientAuth)
    .bool(csr.withQuote)
    .bool(csr.withAppInfo)
    .option(csr.notBefore, seconds)
    .option(csr.notAfter, seconds)
    .raw(csr.attestation)
    .finish();
}

/** @throws CSR_INVALID (confirm word, damaged bytes, a time beyond 2^53 seconds, sizes) */
export function decodeCsr(bytes: Uint8Array): Csr {
  return decoding(bytes, (reader) => {
    const content = readContent(reader);
    const withAppInfo = reader.bool();
    const notBefore = reader.option(seconds);
    const notAfter = reader.option(seconds);
    const attestation = reader.rest();
    if (attestation.length > ATTESTATION_LIMIT) throw tooLarge('attestation', attestation.length);
    return { ...content, withAppInfo, notBefore, notAfter, attestation };
  });
}

/** @throws CSR_INVALID */
export function decodeCsrV1(bytes: Uint8Array): CsrV1 {
  return decoding(bytes, (reader) => {
    const content = readContent(reader);
    const out = { ...content, quote: reader.bytes(), eventLog: reader.bytes() };
    reader.end();
    return out;
  });
}

function readContent(reader: ScaleReader): CsrContent {
  if (reader.string() !== CONFIRM) {
    throw new DstackError('CSR_INVALID', 'the certificate request does not start with its confirm word', {
      field: 'confirm',
    });
  }
  return {
    spkiDer: reader.bytes(),
    organization: reader.option((inner) => inner.string()),
    commonName: reader.string(),
    altNames: reader.vector((inner) => inner.string()),
    serverAuth: reader.bool(),
    clientAuth: reader.bool(),
    withQuote: reader.bool(),
  };
}

function seconds(reader: ScaleReader): number {
  const value = reader.u64();
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new DstackError('CSR_INVALID', 'the certificate request names a time beyond 2^53 seconds', {
      field: 'not_after',
      value: String(value),
    });
  }
  return Number(value);
}

const tooLarge = (field: string, size: number): DstackError =>
  new DstackError('CSR_INVALID', `the ${field} of the certificate request has ${size} bytes`, { field, value: size });

function decoding<T>(bytes: Uint8Array, work: (reader: ScaleReader) => T): T {
  if (bytes.length > SCALE_LIMIT) throw tooLarge('encoding', bytes.length);
  try {
    return work(new ScaleReader(bytes));
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.code === 'CSR_INVALID') throw thrown;
    throw new DstackError('CSR_INVALID', 'the certificate request is damaged', { cause: thrown });
  }
}

/** ECDSA P-256 with SHA-256 in DER over the encoded request, by the key that is to be certified. */
export const signCsr = (encoded: Uint8Array, key: Pick<P256Key, 'pkcs8Der'>): Uint8Array =>
  signP256(encoded, key.pkcs8Der, 'the certificate request');

/**
 * Checks that the request was signed with the key it asks to certify.
 * @throws CSR_INVALID for a key of another kind than P-256, and for a wrong signature
 */
export function verifyCsr(encoded: Uint8Array, signature: Uint8Array, spkiDer: Uint8Array): void {
  let key: KeyObject;
  let valid = false;
  try {
    key = createPublicKey({ key: Buffer.from(spkiDer), format: 'der', type: 'spki' });
    if (key.export({ format: 'jwk' }).crv !== 'P-256') throw new Error('curve');
  } catch {
    throw new DstackError('CSR_INVALID', 'the certificate request does not hold a P-256 key', { field: 'pubkey' });
  }
  try {
    valid = verify('sha256', encoded, key, signature);
  } catch {
    // a signature that is not DER is as wrong as any other
  }
  if (!valid) {
    throw new DstackError('CSR_INVALID', 'the certificate request is not signed with its own key', {
      field: 'signature',
    });
  }
}

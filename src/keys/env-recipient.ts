/** The key that an environment is encrypted for: signed by a KMS that the caller trusts, or given with the caller's own word. */
import { fromHex } from '../codec/hex.ts';
import { parseEnvKeyAnswer } from '../config/env-key-answer.ts';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import { verifyEnvKey } from './env-encrypt-key.ts';

/** The options of `env encrypt` that name the recipient, as typed; error fields name them. */
export interface RecipientOptions {
  /** X25519 key, 32 bytes in hex; only with `trustKey` */
  readonly publicKey?: string;
  /** file with the answer of GetAppEnvEncryptPubKey, at most 64 KiB */
  readonly kmsAnswer?: string;
  /** 20 bytes in hex */
  readonly appId?: string;
  /** public key of the KMS, 33 bytes in hex */
  readonly signer?: string;
  /** oldest accepted signature, whole seconds */
  readonly maxAge: string;
  /** do not verify who gave the key */
  readonly trustKey?: boolean;
}

const ANSWER_LIMIT = 64 * 1024;

const usage = (message: string, field: string) => new DstackError('INPUT_INVALID', message, { field });

/**
 * The key to encrypt for; without a valid signature of the KMS only when the caller insists.
 * @returns X25519 public key, 32 bytes
 * @throws INPUT_INVALID for options that do not fit together, else as `parseEnvKeyAnswer` and `verifyEnvKey`
 */
export async function envRecipient(options: RecipientOptions): Promise<Uint8Array> {
  if ((options.publicKey === undefined) === (options.kmsAnswer === undefined)) {
    throw usage('give either --kms-answer or --public-key', '--kms-answer');
  }
  if (options.publicKey !== undefined) {
    if (!options.trustKey) throw usage('a bare --public-key is nobody’s word: add --trust-key', '--trust-key');
    return fromHex(options.publicKey, { field: '--public-key', prefix: true, length: 32 });
  }
  const path = options.kmsAnswer ?? '';
  const signed = parseEnvKeyAnswer(await readLimited(path, ANSWER_LIMIT), path);
  if (options.trustKey) return signed.publicKey;
  if (options.signer === undefined || options.appId === undefined) {
    throw usage('--signer and --app-id are needed to verify the key of the KMS', '--signer');
  }
  const appId = fromHex(options.appId, { field: '--app-id', prefix: true, length: 20 });
  const signer = fromHex(options.signer, { field: '--signer', prefix: true, length: 33 });
  const maxAge = Number(options.maxAge);
  if (!Number.isSafeInteger(maxAge) || maxAge < 0) throw usage('--max-age must be whole seconds', '--max-age');
  await verifyEnvKey(signed, appId, signer, undefined, maxAge);
  return signed.publicKey;
}

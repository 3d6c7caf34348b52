/** The answer of a KMS to GetAppEnvEncryptPubKey, in the JSON form of its RPC. Source: dstack services, KMS messages. */
import { fromHex } from '../codec/hex.ts';
import { Fields } from './fields.ts';
import { parseStrictJsonBytes } from './strict-json.ts';

export interface EnvKeyAnswer {
  readonly publicKey: Uint8Array;
  readonly signature: Uint8Array;
  /** absent when only the legacy signature is there */
  readonly timestamp?: number;
}

/** Takes the signature with time when there is one, else the legacy one. @throws JSON_INVALID, DOCUMENT_INVALID, HEX_INVALID */
export function parseEnvKeyAnswer(raw: Uint8Array, path: string): EnvKeyAnswer {
  const fields = new Fields(parseStrictJsonBytes(raw, path), { path });
  const bytes = (name: string) => fromHex(fields.optionalString(name) ?? '', { field: name, prefix: true });
  const publicKey = bytes('public_key');
  const withTime = bytes('signature_v1');
  if (withTime.length === 0) return { publicKey, signature: bytes('signature') };
  if (!fields.has('timestamp')) fields.fail('timestamp', 'is missing beside signature_v1');
  return { publicKey, signature: withTime, timestamp: fields.integer('timestamp', 0, Number.MAX_SAFE_INTEGER) };
}

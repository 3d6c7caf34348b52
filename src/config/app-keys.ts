/**
 * .appkeys.json: the keys of the app, as setup writes and the guest agent reads them. Key order and tags are fixed.
 * Everything in it is secret: errors name fields, never values. Source: dstack formats, app keys.
 */
import { DstackError } from '../errors.ts';
import { wipe } from '../sys/files.ts';
import { Fields } from './fields.ts';
import { HOST_SHARED } from './paths.ts';
import { parseStrictJsonBytes } from './strict-json.ts';

/** Who gave the keys. `key` is the PKCS#8 PEM of the app's own CA key. */
export type KeyProviderRecord =
  | { readonly kind: 'none'; readonly key: string }
  | { readonly kind: 'local'; readonly key: string /** MRENCLAVE, 32 bytes */; readonly mr: Uint8Array }
  | { readonly kind: 'tpm'; readonly key: string /** SPKI DER */; readonly pubkey: Uint8Array }
  | {
      readonly kind: 'kms';
      /** including /prpc */
      readonly url: string;
      /** SPKI DER of the KMS root CA */
      readonly pubkey: Uint8Array;
      readonly tmpCaKey: string;
      readonly tmpCaCert: string;
    };

export interface AppKeys {
  /** 32 bytes; empty in the key file of a guest, whose disk is open without it */
  readonly diskCryptKey: Uint8Array;
  /** 32 bytes, or empty: then there is no encrypted environment */
  readonly envCryptKey: Uint8Array;
  /** 32 bytes, a secp256k1 scalar */
  readonly k256Key: Uint8Array;
  /** 65 bytes from a KMS, else empty */
  readonly k256Signature: Uint8Array;
  /** hex text, `any`, or empty */
  readonly gatewayAppId: string;
  /** PEM */
  readonly caCert: string;
  readonly keyProvider: KeyProviderRecord;
}

/** @throws KEYS_FILE_INVALID naming path and field, never a value */
export function parseAppKeys(raw: Uint8Array, path: string = HOST_SHARED.appKeys): AppKeys {
  let document: unknown;
  try {
    document = parseStrictJsonBytes(raw, path);
  } catch {
    // no cause: the JSON error could name a piece of the document
    throw new DstackError('KEYS_FILE_INVALID', 'the key file is not a JSON document', { path });
  }
  const fields = new Fields(document, { path, code: 'KEYS_FILE_INVALID', secret: true });
  const diskCryptKey = fields.requiredHex('disk_crypt_key');
  if (diskCryptKey.length !== 0 && diskCryptKey.length !== 32) {
    fields.fail('disk_crypt_key', 'must be hex of 32 bytes or empty');
  }
  const k256Signature = fields.requiredHex('k256_signature');
  if (k256Signature.length !== 0 && k256Signature.length !== 65) {
    fields.fail('k256_signature', 'must be hex of 65 bytes or empty');
  }
  return {
    diskCryptKey,
    envCryptKey: fields.hex('env_crypt_key'),
    k256Key: fields.requiredHex('k256_key', 32),
    k256Signature,
    gatewayAppId: fields.string('gateway_app_id'),
    caCert: fields.string('ca_cert'),
    keyProvider: parseProvider(fields),
  };
}

const TAGS = ['None', 'Local', 'Tpm', 'Kms'] as const;

function parseProvider(fields: Fields): KeyProviderRecord {
  const tagged = fields.object('key_provider');
  if (tagged === undefined) return fields.fail('key_provider', 'is missing');
  const tags = tagged.keys();
  const tag = TAGS.find((known) => tags.length === 1 && tags[0] === known);
  if (tag === undefined) return fields.fail('key_provider', `must have exactly one of the tags ${TAGS.join(', ')}`);
  const body = tagged.object(tag) ?? tagged.fail(tag, 'must be an object');
  switch (tag) {
    case 'None':
      return { kind: 'none', key: body.string('key') };
    case 'Local':
      return { kind: 'local', key: body.string('key'), mr: body.requiredHex('mr') };
    case 'Tpm':
      return { kind: 'tpm', key: body.string('key'), pubkey: body.requiredHex('pubkey') };
    case 'Kms':
      return {
        kind: 'kms',
        url: body.string('url'),
        pubkey: body.requiredHex('pubkey'),
        tmpCaKey: body.string('tmp_ca_key'),
        tmpCaCert: body.string('tmp_ca_cert'),
      };
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** JSON text with the fixed key order; compact as setup writes it, or indented as `get-keys` prints it. */
export function formatAppKeys(keys: AppKeys, pretty = false): string {
  const document = {
    disk_crypt_key: hex(keys.diskCryptKey),
    env_crypt_key: hex(keys.envCryptKey),
    k256_key: hex(keys.k256Key),
    k256_signature: hex(keys.k256Signature),
    gateway_app_id: keys.gatewayAppId,
    ca_cert: keys.caCert,
    key_provider: formatProvider(keys.keyProvider),
  };
  return JSON.stringify(document, null, pretty ? 2 : undefined);
}

function formatProvider(provider: KeyProviderRecord): Record<string, Record<string, string>> {
  switch (provider.kind) {
    case 'none':
      return { None: { key: provider.key } };
    case 'local':
      return { Local: { key: provider.key, mr: hex(provider.mr) } };
    case 'tpm':
      return { Tpm: { key: provider.key, pubkey: hex(provider.pubkey) } };
    case 'kms': {
      const { url, pubkey, tmpCaKey, tmpCaCert } = provider;
      return { Kms: { url, pubkey: hex(pubkey), tmp_ca_key: tmpCaKey, tmp_ca_cert: tmpCaCert } };
    }
  }
}

/** The id that app-compose.json may pin and the key-provider event carries: empty for none and tpm. */
export function providerId({ keyProvider }: Pick<AppKeys, 'keyProvider'>): Uint8Array {
  if (keyProvider.kind === 'kms') return keyProvider.pubkey;
  return keyProvider.kind === 'local' ? keyProvider.mr : new Uint8Array();
}

/** Bytes of disk_crypt_key. */
export const DISK_KEY_SIZE = 32;

/**
 * Overwrites the key bytes: call it where the process no longer needs them. PEM texts are immutable strings and stay
 * until the garbage collector takes them; the threat model says so.
 */
export function wipeAppKeys(keys: Pick<AppKeys, 'diskCryptKey' | 'envCryptKey' | 'k256Key'>): void {
  wipe(keys.diskCryptKey, keys.envCryptKey, keys.k256Key);
}

/**
 * MR_CONFIG_ID: the configuration the host started this VM for, fixed before the first instruction ran
 * (dstack measurement, mr_config).
 */
import { keccak_256 } from '@noble/hashes/sha3';
import { concat } from '../codec/bytes.ts';
import { fromHex, toHex } from '../codec/hex.ts';
import { utf8Bytes } from '../codec/text.ts';
import type { KeyProviderKind } from '../config/app-compose.ts';
import { parseStrictJson } from '../config/strict-json.ts';
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';

/** What this guest knows about itself. */
export interface LocalConfig {
  /** 32 bytes */
  readonly composeHash: Uint8Array;
  /** 20 bytes */
  readonly appId: Uint8Array;
  readonly instanceId: Uint8Array;
  /** 32 bytes */
  readonly gpuPolicyHash: Uint8Array;
  /** 32 bytes each */
  readonly initScriptHashes: readonly Uint8Array[];
  /** the provider the keys really came from */
  readonly keyProvider: KeyProviderKind;
  readonly keyProviderId: Uint8Array;
  /** the mr_config document exactly as delivered; needed for version 3 */
  readonly document?: string | undefined;
}

const SIZE = 48;
const KIND_BYTE: Readonly<Record<KeyProviderKind, number>> = { none: 0, local: 1, kms: 2, tpm: 3 };
const V3_PREFIX = 'dstack-mr-config-v3:';
const MAX_INIT_SCRIPTS = 5;

function register(version: number, hash: Uint8Array): Uint8Array {
  const out = new Uint8Array(SIZE);
  out[0] = version;
  out.set(hash, 1);
  return out;
}

/** 01 | compose hash | zeros */
export const mrConfigIdV1 = (composeHash: Uint8Array): Uint8Array => register(1, composeHash);

/** 02 | keccak256(compose hash | app id | provider byte | provider id) | zeros */
export function mrConfigIdV2(
  local: Pick<LocalConfig, 'composeHash' | 'appId' | 'keyProvider' | 'keyProviderId'>,
): Uint8Array {
  const { composeHash, appId, keyProvider, keyProviderId } = local;
  const kind = Uint8Array.of(KIND_BYTE[keyProvider]);
  return register(2, keccak_256(concat(composeHash, appId, kind, keyProviderId)));
}

/** 03 | SHA-256(prefix, zero byte, document text as delivered) | zeros */
export function mrConfigIdV3(document: string): Uint8Array {
  return register(3, sha256(utf8Bytes(V3_PREFIX), Uint8Array.of(0), utf8Bytes(document)));
}

function mismatch(field: string, value: string, why: string): DstackError {
  return new DstackError('MR_CONFIG_MISMATCH', `mr_config: ${field} ${why}`, { field, value });
}

/**
 * Checks the MR_CONFIG_ID of a TD report or quote against this guest. All zero means that the host bound nothing.
 * @param mrConfigId 48 bytes
 * @throws MR_CONFIG_MISMATCH
 */
export function checkMrConfigId(mrConfigId: Uint8Array, local: LocalConfig): void {
  if (mrConfigId.length !== SIZE) throw mismatch('mr_config_id', `${mrConfigId.length} bytes`, 'has not 48 bytes');
  if (mrConfigId.every((byte) => byte === 0)) return;
  const version = mrConfigId[0] ?? 0;
  const compare = (expected: Uint8Array): void => {
    if (toHex(expected) !== toHex(mrConfigId)) {
      throw mismatch('mr_config_id', toHex(mrConfigId), `of version ${version} is not ${toHex(expected)}`);
    }
  };
  switch (version) {
    case 1:
      compare(mrConfigIdV1(local.composeHash));
      break;
    case 2:
      compare(mrConfigIdV2(local));
      break;
    case 3:
      if (local.document === undefined || local.document === '') {
        throw mismatch('mr_config', '', 'document is missing, but the register is bound to one');
      }
      compare(mrConfigIdV3(local.document));
      checkDocument(local.document, local);
      break;
    default:
      throw new DstackError('MR_CONFIG_MISMATCH', `invalid mr_config_id version ${version}`, {
        field: 'mr_config_id',
        value: toHex(mrConfigId),
      });
  }
}

const KNOWN: ReadonlySet<string> = new Set([
  'version',
  'app_id',
  'compose_hash',
  'gpu_policy_hash',
  'key_provider',
  'key_provider_id',
  'instance_id',
  'init_script_hashes',
]);

/** Compares every field that a version 3 document has with this guest. @throws MR_CONFIG_MISMATCH */
export function checkDocument(text: string, local: LocalConfig): void {
  const document = parseDocument(text);
  const hexField = (field: string, value: Uint8Array, required = false): void => {
    const wanted = document[field];
    if (wanted === undefined || wanted === null) {
      if (required) throw mismatch(field, '', 'is missing');
      return;
    }
    if (decode(field, wanted) !== toHex(value)) throw mismatch(field, String(wanted), `is not ${toHex(value)}`);
  };
  hexField('app_id', local.appId);
  hexField('compose_hash', local.composeHash, true);
  hexField('gpu_policy_hash', local.gpuPolicyHash);
  hexField('key_provider_id', local.keyProviderId);
  hexField('instance_id', local.instanceId);
  const kind = document['key_provider'];
  if (typeof kind !== 'string' || !Object.hasOwn(KIND_BYTE, kind)) {
    throw mismatch('key_provider', String(kind), 'is not none, local, kms or tpm');
  }
  if (kind !== local.keyProvider) throw mismatch('key_provider', kind, `is not ${local.keyProvider}`);
  checkScripts(document['init_script_hashes'], local.initScriptHashes);
}

function parseDocument(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    // strict: of two equal keys another reader might see the other one
    value = parseStrictJson(text, 'mr_config');
  } catch (thrown) {
    throw new DstackError('MR_CONFIG_MISMATCH', 'mr_config document is not JSON', {
      field: 'mr_config',
      cause: thrown,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw mismatch('mr_config', typeof value, 'document is not an object');
  }
  const document = value as Record<string, unknown>;
  for (const field of Object.keys(document)) {
    if (!KNOWN.has(field)) throw mismatch(field, '', 'is not a known field of the document');
  }
  const version = document['version'] ?? 3;
  if (version !== 3) throw mismatch('version', String(version), 'is not 3');
  return document;
}

/** Canonical lower-case hex of a field. */
function decode(field: string, value: unknown): string {
  if (typeof value !== 'string') throw mismatch(field, String(value), 'is not hex text');
  try {
    return toHex(fromHex(value, { field }));
  } catch (thrown) {
    throw new DstackError('MR_CONFIG_MISMATCH', `mr_config: ${field} is not hex text`, { field, value, cause: thrown });
  }
}

/** An empty list demands that there are no scripts; an absent one demands nothing. */
function checkScripts(wanted: unknown, actual: readonly Uint8Array[]): void {
  const field = 'init_script_hashes';
  if (wanted === undefined || wanted === null) return;
  if (!Array.isArray(wanted)) throw mismatch(field, typeof wanted, 'is not a list');
  if (wanted.length > MAX_INIT_SCRIPTS) throw mismatch(field, String(wanted.length), 'has more than 5 elements');
  const hashes = wanted.map((value) => {
    const hash = decode(field, value);
    if (hash.length !== 64) throw mismatch(field, hash, 'has an element that is not 32 bytes');
    return hash;
  });
  if (hashes.join() !== actual.map(toHex).join()) {
    throw mismatch(field, hashes.join(), `is not the list of this app (${actual.map(toHex).join() || 'empty'})`);
  }
}

/**
 * The identity on the platforms that this program reads evidence of, but does not run on: Google Cloud TDX and AMD SEV-SNP
 * (dstack measurement, decode_app_info).
 */

import { cut } from '../codec/bytes.ts';
import { fromHex, toHex } from '../codec/hex.ts';
import { isObject, type JsonObject, parseStrictJson } from '../config/strict-json.ts';
import { sha256 } from '../crypto/hash.ts';
import { DstackError } from '../errors.ts';
import { preimage, type RuntimeEvent } from './events.ts';
import type { TpmQuote } from './tpm-quote.ts';

const PCR_SIZE = 32;
/** ATTESTATION_REPORT of the SEV-SNP firmware ABI, table 23 */
const SNP = { size: 1184, measurement: [0x90, 48], hostData: [0xc0, 32], chipId: [0x1a0, 64] } as const;
/** names of key providers as the key-provider event writes them */
const PROVIDER_NAME: Readonly<Record<string, string>> = { none: 'none', local: 'local-sgx', kms: 'kms', tpm: 'tpm' };

function bad(field: string, why: string, cause?: unknown): DstackError {
  return new DstackError('ATTESTATION_INVALID', `${field} ${why}`, { field, cause });
}

/** Replays runtime events into PCR14 of the SHA-256 bank; with `upTo` it stops behind the first event of that name. */
export function replayPcr14(events: readonly RuntimeEvent[], upTo?: string): Uint8Array {
  let value: Uint8Array = new Uint8Array(PCR_SIZE);
  for (const event of events) {
    value = sha256(value, sha256(preimage(event)));
    if (event.event === upTo) break;
  }
  return value;
}

/** A register of the SHA-256 bank of a TPM quote. @throws ATTESTATION_INVALID when the quote has not exactly one */
export function pcr(quote: TpmQuote, index: number): Uint8Array {
  const found = quote.pcrValues.filter((entry) => entry.index === index && entry.algorithm === 'sha256');
  const [only] = found;
  if (found.length !== 1 || only === undefined) throw bad('tpm_quote', `has ${found.length} values of PCR${index}`);
  if (only.value.length !== PCR_SIZE) throw bad('tpm_quote', `has ${only.value.length} bytes in PCR${index}`);
  return only.value;
}

/** What a SEV-SNP guest shows of itself: everything stands in the mr_config document that HOST_DATA binds. */
export function snpIdentity(report: Uint8Array, mrConfig: string) {
  if (report.length < SNP.size) throw bad('report', `has ${report.length} bytes, not ${SNP.size}`);
  const at = ([offset, size]: readonly [number, number]): Uint8Array => cut(report, offset, offset + size);
  let document: unknown;
  try {
    document = parseStrictJson(mrConfig, 'mr_config');
  } catch (thrown) {
    throw bad('mr_config', 'is not JSON', thrown);
  }
  if (!isObject(document)) throw bad('mr_config', 'is not an object');
  const provider = document['key_provider'];
  const name =
    typeof provider === 'string' && Object.hasOwn(PROVIDER_NAME, provider) ? PROVIDER_NAME[provider] : undefined;
  if (name === undefined) throw bad('key_provider', 'is not none, local, kms or tpm');
  const info = JSON.stringify({ name, id: toHex(hexField(document, 'key_provider_id')) });
  const scripts = document['init_script_hashes'] ?? [];
  if (!Array.isArray(scripts)) throw bad('init_script_hashes', 'is not a list');
  return {
    appId: hexField(document, 'app_id'),
    composeHash: hexField(document, 'compose_hash'),
    instanceId: hexField(document, 'instance_id'),
    deviceId: sha256(at(SNP.chipId)),
    mrSystem: sha256(at(SNP.measurement)),
    mrAggregated: sha256(at(SNP.measurement), at(SNP.hostData)),
    keyProviderInfo: new TextEncoder().encode(info),
    initScriptHashes: scripts.map((script: unknown, index) => hexText(script, `init_script_hashes[${index}]`)),
  };
}

/** A hex member; absent ones are empty. */
const hexField = (document: JsonObject, field: string): Uint8Array => hexText(document[field] ?? '', field);

function hexText(value: unknown, field: string): Uint8Array {
  if (typeof value !== 'string') throw bad(field, 'is not hex text');
  try {
    return fromHex(value);
  } catch (thrown) {
    throw bad(field, 'is not hex text', thrown);
  }
}

/** Payloads of boot events that are made of a document: the boot measures them, predictions compute them. */
import { toHex } from '../codec/hex.ts';
import { utf8Bytes } from '../codec/text.ts';
import type { KeyProviderKind } from '../config/app-compose.ts';
import { sha256 } from '../crypto/hash.ts';

/** names of the providers in the key-provider event */
const PROVIDER_NAMES = { none: 'none', local: 'local-sgx', tpm: 'tpm', kms: 'kms' } as const;

/** The payload of the key-provider event: compact JSON. @param id identity of the provider, empty for none and tpm */
export const keyProviderPayload = (kind: KeyProviderKind, id: Uint8Array): string =>
  JSON.stringify({ name: PROVIDER_NAMES[kind], id: toHex(id) });

/** SHA-256 of each script's text, in order. */
export const initScriptHashes = (scripts: readonly string[]): Uint8Array[] =>
  scripts.map((script) => sha256(utf8Bytes(script)));

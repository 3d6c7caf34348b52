/** Runtime events: what the guest measures into RTMR3 after the kernel has started (dstack measurement, runtime events). */

import { toHex } from '../codec/hex.ts';
import { sha384 } from '../crypto/hash.ts';

/** Event type of a runtime event, for both digest versions. */
export const RUNTIME_EVENT_TYPE = 0x08000001;
/** The register runtime events are measured into. */
export const RUNTIME_IMR = 3;

export type EventVersion = 1 | 2;

export interface RuntimeEvent {
  readonly event: string;
  readonly payload: Uint8Array;
  /** form of the digest: 1 = bytes joined with `:`, 2 = canonical JSON */
  readonly version: EventVersion;
}

/** Names with a meaning during the boot; the first `system-ready` ends what counts for the identity of the app. */
export const EVENT = {
  systemPreparing: 'system-preparing',
  appId: 'app-id',
  composeHash: 'compose-hash',
  initScriptHash: 'init-script-hash',
  gpuPolicyHash: 'gpu-policy-hash',
  gpuAttestation: 'gpu-attestation',
  instanceId: 'instance-id',
  bootMrDone: 'boot-mr-done',
  osImageHash: 'os-image-hash',
  keyProvider: 'key-provider',
  storageFs: 'storage-fs',
  /** ours: only when the data disk is not encrypted, which the reference does not measure */
  storageUnencrypted: 'storage-unencrypted',
  systemReady: 'system-ready',
} as const;

/**
 * Events before the first `system-ready`: all that counts where a value is read out of events. What an application measures
 * later may have any name.
 */
export function bootEvents<T extends { readonly event: string }>(events: readonly T[]): readonly T[] {
  const end = events.findIndex(({ event }) => event === EVENT.systemReady);
  return end < 0 ? events : events.slice(0, end);
}

/** The names the boot itself measures. */
export const BOOT_EVENT_NAMES: readonly string[] = Object.values(EVENT);
const BOOT_NAMES: ReadonlySet<string> = new Set(BOOT_EVENT_NAMES);

/** True for the names the boot itself measures. */
export const isBootEvent = (name: string): boolean => BOOT_NAMES.has(name);

const encoder = new TextEncoder();

/**
 * The bytes that are hashed. Version 1: type (LE32) `:` name `:` payload. Version 2: the RFC 8785 form of
 * `{name, payload (hex), type}`; RFC 8785 serialises a string exactly as JSON.stringify does.
 */
export function preimage(event: RuntimeEvent): Uint8Array {
  if (event.version === 2) {
    return encoder.encode(
      JSON.stringify({ name: event.event, payload: toHex(event.payload), type: RUNTIME_EVENT_TYPE }),
    );
  }
  const name = encoder.encode(event.event);
  const out = new Uint8Array(4 + 1 + name.length + 1 + event.payload.length);
  new DataView(out.buffer).setUint32(0, RUNTIME_EVENT_TYPE, true);
  out[4] = 0x3a;
  out.set(name, 5);
  out[5 + name.length] = 0x3a;
  out.set(event.payload, 6 + name.length);
  return out;
}

/** SHA-384 of the preimage, 48 bytes: what is extended into RTMR3. */
export function eventDigest(event: RuntimeEvent): Uint8Array {
  return sha384(preimage(event));
}

/** Extends a register value: SHA-384(register | digest). */
export function extend(register: Uint8Array, digest: Uint8Array): Uint8Array {
  return sha384(register, digest);
}

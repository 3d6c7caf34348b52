/**
 * What setup will measure into RTMR3, told before a VM exists. The phases that measure use the same payloads and the
 * same identity, and a test with a VM compares both, so that a prediction cannot drift from the boot. What only the running guest knows stays unknown and is named.
 */

import { toHex } from '../codec/hex.ts';
import { utf8Bytes } from '../codec/text.ts';
import { type AppCompose, checkFeatureGates } from '../config/app-compose.ts';
import type { Cmdline } from '../config/cmdline.ts';
import type { InstanceInfo } from '../config/instance-info.ts';
import { storageOptions } from '../config/storage-options.ts';
import { DstackError } from '../errors.ts';
import { initScriptHashes, keyProviderPayload } from './event-payloads.ts';
import { EVENT, type EventVersion, eventDigest, extend } from './events.ts';
import { computeIdentity, ID_BYTES, instanceId } from './instance-identity.ts';
import { REGISTER_SIZE } from './replay.ts';

export interface PredictOptions {
  /** what the host stored of the last boot; without it the host names no app and no instance */
  readonly instance?: InstanceInfo;
  /** 20 bytes, or empty: the instance as it runs, from its Info answer or an earlier event log */
  readonly instanceId?: Uint8Array | undefined;
  /** identity of the key provider: KMS root key (SPKI), or MRENCLAVE of the local provider */
  readonly keyProviderId?: Uint8Array | undefined;
  /** KMS only: what it answers as os_image_hash */
  readonly osImageHash?: Uint8Array | undefined;
  readonly cmdline: Pick<Cmdline, 'last'>;
  /** the kernel command line was given, so that its defaults are not assumed */
  readonly cmdlineKnown: boolean;
  /** events that the app is known to measure after the boot */
  readonly later?: readonly { readonly event: string; readonly payload: Uint8Array }[];
}

export interface PredictedEvent {
  readonly event: string;
  /** undefined when it cannot be known */
  readonly payload: Uint8Array | undefined;
  readonly digest: Uint8Array | undefined;
  /** RTMR3 behind this event; undefined from the first unknown event on */
  readonly register: Uint8Array | undefined;
}

export interface Prediction {
  readonly composeHash: Uint8Array;
  readonly appId: Uint8Array;
  readonly version: EventVersion;
  readonly events: readonly PredictedEvent[];
  /** RTMR3 at the end; undefined when an event is unknown */
  readonly rtmr3: Uint8Array | undefined;
  /** RTMR3 as a KMS sees it when it authorises the boot (after boot-mr-done) */
  readonly bootRtmr3: Uint8Array | undefined;
  /** value and what would tell it */
  readonly unknown: readonly { readonly event: string; readonly why: string }[];
  /** what was taken for granted */
  readonly assumed: readonly string[];
}

type Step = readonly [event: string, payload: Uint8Array | string | undefined];

/** @throws MANIFEST_UNSUPPORTED, DOCUMENT_INVALID, STORAGE_OPTION_INVALID: what the boot itself would refuse */
export function predict(compose: AppCompose, options: PredictOptions): Prediction {
  checkFeatureGates(compose);
  const empty = { instanceIdSeed: new Uint8Array(), instanceId: new Uint8Array(), appId: new Uint8Array() };
  const stored = options.instance ?? empty;
  const unknown: { event: string; why: string }[] = [];
  const assumed: string[] = ['the platform is dstack’s own TDX', 'no GPU is attested'];
  const { appId } = computeIdentity(compose, stored);
  if (stored.appId.length === 0) assumed.push('the host names no app id: it is the start of the compose hash');
  const steps: Step[] = [
    [EVENT.systemPreparing, ''],
    [EVENT.appId, appId],
    [EVENT.composeHash, compose.composeHash],
    ...initScriptHashes(compose.initScripts).map((hash): Step => [EVENT.initScriptHash, hash]),
    [EVENT.gpuPolicyHash, compose.gpuPolicyHash],
    [EVENT.instanceId, instance(compose, stored, appId, options, unknown)],
    [EVENT.bootMrDone, ''],
    ...keyEvents(compose, options, unknown),
    ...storageEvents(compose, options, assumed),
    [EVENT.systemReady, ''],
    ...(options.later ?? []).map(({ event, payload }): Step => [event, payload]),
  ];
  const version = compose.eventLogVersion;
  const events = chain(steps, version);
  return {
    composeHash: compose.composeHash,
    appId,
    version,
    events,
    rtmr3: events.at(-1)?.register,
    bootRtmr3: events.find(({ event }) => event === EVENT.bootMrDone)?.register,
    unknown,
    assumed,
  };
}

/** Digest and running register of each step. */
function chain(steps: readonly Step[], version: EventVersion): PredictedEvent[] {
  let register: Uint8Array | undefined = new Uint8Array(REGISTER_SIZE);
  return steps.map(([event, value]) => {
    const payload = typeof value === 'string' ? utf8Bytes(value) : value;
    const digest = payload && eventDigest({ event, payload, version });
    register = register && digest && extend(register, digest);
    return { event, payload, digest, register };
  });
}

/** The instance id, where something tells it. */
function instance(
  compose: AppCompose,
  stored: InstanceInfo,
  appId: Uint8Array,
  options: PredictOptions,
  unknown: { event: string; why: string }[],
): Uint8Array | undefined {
  const given = options.instanceId;
  if (compose.noInstanceId) {
    if (given === undefined || given.length === 0) return new Uint8Array();
    throw contradiction('--instance-id', given, 'app-compose.json has no_instance_id: there is none');
  }
  const fixed =
    stored.instanceIdSeed.length > 0 && compose.keyProvider !== 'none'
      ? instanceId(stored.instanceIdSeed, appId)
      : undefined;
  if (given !== undefined) {
    if (given.length !== ID_BYTES) throw contradiction('--instance-id', given, `it has not ${ID_BYTES} bytes`);
    if (fixed !== undefined && toHex(fixed) !== toHex(given)) {
      throw contradiction('--instance-id', given, `the stored seed gives ${toHex(fixed)}`);
    }
    return given;
  }
  if (fixed === undefined) {
    const why =
      compose.keyProvider === 'none'
        ? 'new at every boot with key provider none: give --instance-id of the running guest'
        : 'made at the first boot: give --instance-info the host keeps, or --instance-id';
    unknown.push({ event: EVENT.instanceId, why });
  }
  return fixed;
}

const contradiction = (field: string, value: Uint8Array, why: string): DstackError =>
  new DstackError('INPUT_INVALID', `${field} ${toHex(value)} cannot be: ${why}`, { field, value: toHex(value) });

/** os-image-hash (KMS only) and key-provider. */
function keyEvents(compose: AppCompose, options: PredictOptions, unknown: { event: string; why: string }[]): Step[] {
  const kind = compose.keyProvider;
  const hasId = kind === 'kms' || kind === 'local';
  const pinned = compose.keyProviderId.length > 0 ? compose.keyProviderId : undefined;
  const given = options.keyProviderId;
  if (given !== undefined && pinned !== undefined && toHex(given) !== toHex(pinned)) {
    throw contradiction('--key-provider-id', given, `app-compose.json pins ${toHex(pinned)}`);
  }
  const id = hasId ? (given ?? pinned) : new Uint8Array();
  const steps: Step[] = [];
  if (kind === 'kms') {
    if (options.osImageHash === undefined) {
      unknown.push({ event: EVENT.osImageHash, why: 'answered by the KMS: give --os-image-hash' });
    }
    steps.push([EVENT.osImageHash, options.osImageHash]);
  }
  if (id === undefined) {
    unknown.push({ event: EVENT.keyProvider, why: 'which provider will answer is not pinned: give --key-provider-id' });
  }
  return [...steps, [EVENT.keyProvider, id && keyProviderPayload(kind, id)]];
}

function storageEvents(compose: AppCompose, { cmdline, cmdlineKnown }: PredictOptions, assumed: string[]): Step[] {
  const { fs, encrypted } = storageOptions(cmdline, compose);
  if (!cmdlineKnown) {
    const what = compose.storageFs === undefined ? `the data disk is encrypted ${fs}` : 'the data disk is encrypted';
    assumed.push(`the kernel command line changes no storage option: ${what}`);
  }
  return [[EVENT.storageFs, fs], ...(encrypted ? [] : ([[EVENT.storageUnencrypted, '']] as const))];
}

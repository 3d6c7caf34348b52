/** Evidence of a guest that exists on paper only: the events its setup would have measured, and a quote over them. */
import { createHash } from 'node:crypto';
import type { AppCompose } from '../src/config/app-compose.ts';
import type { Attestation } from '../src/tdx/attestation.ts';
import { parseCcel } from '../src/tdx/ccel.ts';
import { EVENT, type EventVersion, type RuntimeEvent } from '../src/tdx/events.ts';
import { replay, replayRuntime } from '../src/tdx/replay.ts';
import { toTdxEvent, withPreimage } from '../src/tdx/tdx-event.ts';
import { mockCcel } from './mock-ccel.ts';
import { mockQuote, type QuoteContent } from './mock-quote.ts';
import type { MockPki } from './pki.ts';
import { MOCK_MRTD } from './quoting-enclave.ts';
import type { SystemClaim } from './system-claim.ts';

export const sha256 = (...parts: readonly (Uint8Array | string)[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

/** The instance id of an app on paper: it depends on the seed and the app alone. */
export const instanceOf = (compose: AppCompose, seed: Uint8Array): Uint8Array =>
  sha256(sha256('dstack-sim instance', seed).subarray(0, 20), compose.composeHash.subarray(0, 20)).subarray(0, 20);

/** What the setup of this guest would have measured, in its order. */
export function bootEvents(compose: AppCompose, version: EventVersion, instanceId: Uint8Array): RuntimeEvent[] {
  const steps: [string, Uint8Array | string][] = [
    [EVENT.systemPreparing, ''],
    [EVENT.appId, compose.composeHash.subarray(0, 20)],
    [EVENT.composeHash, compose.composeHash],
    ...compose.initScripts.map((script): [string, Uint8Array] => [EVENT.initScriptHash, sha256(script)]),
    [EVENT.gpuPolicyHash, compose.gpuPolicyHash],
    [EVENT.instanceId, compose.noInstanceId ? '' : instanceId],
    [EVENT.bootMrDone, ''],
    [EVENT.keyProvider, '{"name":"none","id":""}'],
    [EVENT.storageFs, compose.storageFs ?? 'zfs'],
    [EVENT.systemReady, ''],
  ];
  return steps.map(([event, payload]) => ({ event, payload: Uint8Array.from(Buffer.from(payload)), version }));
}

/** The same for a guest whose instance id depends on the seed. */
export const paperEvents = (compose: AppCompose, seed: Uint8Array, version: EventVersion): RuntimeEvent[] =>
  bootEvents(compose, version, instanceOf(compose, seed));

/** The events up to `boot-mr-done`: the state in which a guest asks for its keys. */
export const beforeKeys = (events: readonly RuntimeEvent[]): RuntimeEvent[] =>
  events.slice(0, events.findIndex(({ event }) => event === EVENT.bootMrDone) + 1);

/** Evidence of the guest after these events; `changes` makes a quote that says something else, `system` is below the app. */
export function evidence(
  pki: MockPki,
  events: readonly RuntimeEvent[],
  reportData: Uint8Array,
  config: string,
  changes: Partial<QuoteContent> = {},
  system: SystemClaim = { mrtd: MOCK_MRTD, ccel: mockCcel() },
): Attestation {
  const firmware = parseCcel(system.ccel);
  const rtmrs = [replay(firmware, 0), replay(firmware, 1), replay(firmware, 2), replayRuntime(events)];
  return {
    platform: {
      kind: 'tdx',
      quote: mockQuote(pki, { mrtd: system.mrtd, rtmrs, reportData, ...changes }),
      eventLog: [...firmware, ...events.map(toTdxEvent).map(withPreimage)],
    },
    reportData,
    runtimeEvents: events,
    config,
  };
}

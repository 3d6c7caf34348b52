/** RTMR3 event by event: what was measured, what the register became, and whether that was to be expected. */
import { toHex } from '../codec/hex.ts';
import { EVENT, eventDigest, extend, type RuntimeEvent } from '../tdx/events.ts';
import { REGISTER_SIZE } from '../tdx/replay.ts';
import type { TdxEvent } from '../tdx/tdx-event.ts';

/**
 * `pinned`: as the user expects it. `known`: a step of the boot in its documented place. `app`: measured after the boot.
 * `drift`: not as expected, or not to be expected at all.
 */
export type RowState = 'pinned' | 'known' | 'app' | 'drift';

export interface EventRow {
  /** from 1 */
  readonly index: number;
  readonly event: string;
  readonly version: 1 | 2;
  readonly payload: Uint8Array;
  /** hex, 48 bytes each */
  readonly digest: string;
  /** RTMR3 behind this event */
  readonly register: string;
  readonly state: RowState;
  /** why it is a drift */
  readonly why?: string;
}

/** The boot in its order (dstack measurement, order of events). Several of one step stand side by side. */
const ORDER: readonly string[] = [
  EVENT.systemPreparing,
  'rootfs-hash', // measured by images before 0.5
  EVENT.appId,
  EVENT.composeHash,
  EVENT.initScriptHash,
  EVENT.gpuPolicyHash,
  EVENT.gpuAttestation,
  EVENT.instanceId,
  EVENT.bootMrDone,
  EVENT.osImageHash,
  EVENT.keyProvider,
  EVENT.storageFs,
  EVENT.storageUnencrypted,
  EVENT.systemReady,
];
const REPEATABLE: ReadonlySet<string> = new Set([EVENT.initScriptHash, EVENT.osImageHash]);
/** What must not be missing from a log that goes beyond it. */
const PAYLOAD_SIZE: Readonly<Record<string, readonly number[]>> = {
  [EVENT.appId]: [20],
  [EVENT.composeHash]: [32],
  [EVENT.initScriptHash]: [32],
  [EVENT.gpuPolicyHash]: [32],
  [EVENT.instanceId]: [0, 20],
  [EVENT.bootMrDone]: [0],
  [EVENT.systemReady]: [0],
};

/** One event of a prediction (`dstack-util measure --json`). */
export interface ExpectedEvent {
  readonly event: string;
  /** hex */
  readonly payload: string | null;
}

export interface RowOptions {
  /** pinned payloads, hex by event name */
  readonly pins?: ReadonlyMap<string, string>;
  /** what was predicted, from the first event on; a payload of null may be anything */
  readonly predicted?: readonly ExpectedEvent[] | undefined;
  /** the same events as the log recorded them, for their digests; in the same order */
  readonly recorded?: readonly TdxEvent[];
}

/** Replays and judges each event; the digest is always computed from name and payload, never taken from the log. */
export function eventRows(events: readonly RuntimeEvent[], options: RowOptions = {}): EventRow[] {
  let register: Uint8Array = new Uint8Array(REGISTER_SIZE);
  const judge = new BootOrder();
  return events.map((event, at) => {
    const digest = eventDigest(event);
    register = extend(register, digest);
    const recorded = options.recorded?.[at]?.digest;
    const pin = options.pins?.get(event.event);
    const payload = toHex(event.payload);
    const order = judge.next(event, pin !== undefined);
    const predicted = options.predicted?.[at];
    let why = order.why ?? departure(event, payload, predicted);
    if (pin !== undefined && pin !== payload) why = `pinned is ${pin || 'an empty payload'}`;
    else if (recorded !== undefined && recorded.length > 0 && toHex(recorded) !== toHex(digest)) {
      why = 'its recorded digest belongs to another content';
    }
    return {
      index: at + 1,
      event: event.event,
      version: event.version,
      payload: event.payload,
      digest: toHex(digest),
      register: toHex(register),
      state: why !== undefined ? 'drift' : pin !== undefined || predicted?.payload === payload ? 'pinned' : order.state,
      ...(why === undefined ? {} : { why }),
    };
  });
}

function departure(event: RuntimeEvent, payload: string, predicted: ExpectedEvent | undefined): string | undefined {
  if (predicted === undefined) return undefined;
  if (predicted.event !== event.event) return `predicted is ${predicted.event} here`;
  if (predicted.payload === null || predicted.payload === payload) return undefined;
  return `predicted is ${predicted.payload || 'an empty payload'}`;
}

/** Walks along the documented order of the boot. */
class BootOrder {
  #place = -1;
  #done = false;
  readonly #seen = new Set<string>();

  next(event: RuntimeEvent, pinned: boolean): { state: RowState; why?: string } {
    if (this.#done) return { state: 'app' };
    const name = event.event;
    const place = ORDER.indexOf(name);
    const repeated = this.#seen.has(name) && !REPEATABLE.has(name);
    const late = place >= 0 && place < this.#place;
    this.#seen.add(name);
    this.#place = Math.max(place, this.#place);
    this.#done = name === EVENT.systemReady;
    if (repeated) return { state: 'drift', why: 'the boot measures it once, it occurs again' };
    if (place < 0) return pinned ? { state: 'known' } : { state: 'drift', why: 'the boot measures no such event' };
    if (late) return { state: 'drift', why: 'it stands behind an event that must follow it' };
    const sizes = PAYLOAD_SIZE[name];
    if (sizes !== undefined && !sizes.includes(event.payload.length)) {
      return { state: 'drift', why: `its payload has ${event.payload.length} bytes, not ${sizes.at(-1)}` };
    }
    return { state: 'known' };
  }
}

/** True for a step of the boot: as a value of the boot it counts before `system-ready` only. */
export const isBootStep = (event: string): boolean => ORDER.includes(event);

/** What the first drifting event is, in words; undefined when none drifts. */
export function firstDrift(rows: readonly EventRow[]): string | undefined {
  const row = rows.find(({ state }) => state === 'drift');
  return row === undefined ? undefined : `event ${row.index} (${row.event}): ${row.why}`;
}

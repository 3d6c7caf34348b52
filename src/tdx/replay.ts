/** Replay: from an event log to the register values it must have produced (dstack measurement, replay). */
import { eventDigest, extend, type RuntimeEvent } from './events.ts';
import { isMeasured, isRuntimeEvent, type TdxEvent } from './tdx-event.ts';

export const REGISTER_SIZE = 48;

/** The digest that counts for the register: recomputed for runtime events, as recorded for all others. */
export function measuredDigest(event: TdxEvent): Uint8Array {
  return isRuntimeEvent(event) ? eventDigest(event) : event.digest;
}

/** Replays what was measured into one register (0 to 3) from 48 zero bytes. @returns 48 bytes */
export function replay(events: readonly TdxEvent[], imr: number): Uint8Array {
  let register: Uint8Array = new Uint8Array(REGISTER_SIZE);
  for (const event of events) {
    if (event.imr === imr && isMeasured(event)) register = extend(register, measuredDigest(event));
  }
  return register;
}

/** Replays runtime events into RTMR3; with `upTo` it stops behind the first event of that name. @returns 48 bytes */
export function replayRuntime(events: readonly RuntimeEvent[], options: { upTo?: string } = {}): Uint8Array {
  let register: Uint8Array = new Uint8Array(REGISTER_SIZE);
  for (const event of events) {
    register = extend(register, eventDigest(event));
    if (event.event === options.upTo) break;
  }
  return register;
}

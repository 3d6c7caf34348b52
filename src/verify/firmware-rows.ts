/** RTMR0 to RTMR2 event by event: what was measured, what the register became, and what is known of it. */
import { toHex } from '../codec/hex.ts';
import { extend } from '../tdx/events.ts';
import { measuredDigest, REGISTER_SIZE } from '../tdx/replay.ts';
import { isAcpiData, isMeasured, type TdxEvent } from '../tdx/tdx-event.ts';
import { type Departure, departure, knownAddition, typeName } from './firmware-layout.ts';
import type { ExpectedSystem } from './system-reference.ts';

/**
 * `expected`: its digest is the one that the system leads to. `host`: an ACPI table, for which only the host vouches. `drift`:
 * not as the system leads to. `open`: nothing tells what it should be, or it stands behind one that drifts.
 */
export type FirmwareRowState = 'expected' | 'host' | 'drift' | 'open';

export interface FirmwareRow {
  readonly register: 0 | 1 | 2;
  /** from 1, among what was measured into this register */
  readonly index: number;
  /** of the prediction, else of the log, else the type as the firmware profile has it */
  readonly event: string;
  /** TCG event type in words */
  readonly type: string;
  /** hex, 48 bytes each */
  readonly digest: string;
  /** the register behind this event */
  readonly value: string;
  readonly state: FirmwareRowState;
  /** why it is a drift */
  readonly why?: string;
}

/**
 * Replays what a log measured into RTMR0 to RTMR2. Decides nothing: whether the registers are those of the quote is for
 * `firmware-replay`, whether they are those of a system for `system-rtmr0` to `system-rtmr2`.
 * @param expected what the system leads to, when something tells it
 */
export function firmwareRows(log: readonly TdxEvent[], expected?: ExpectedSystem): FirmwareRow[] {
  return ([0, 1, 2] as const).flatMap((register) => {
    const events = log.filter((event) => event.imr === register && isMeasured(event));
    // a stripped log keeps the ACPI tables alone: they are no replay of the register
    const whole = events.some((event) => !isAcpiData(event));
    const wanted = expected?.registers[register]?.events ?? [];
    const first = whole && wanted.length > 0 ? departure(wanted, events) : undefined;
    let value: Uint8Array = new Uint8Array(REGISTER_SIZE);
    return events.map((event, at): FirmwareRow => {
      const digest = measuredDigest(event);
      value = extend(value, digest);
      const index = at + 1;
      const known = whole && wanted.length > 0 && (first === undefined || index < first.index);
      const drifts = index === first?.index;
      const name = known ? wanted[at]?.name : drifts ? nameOf(register, first) : undefined;
      return {
        register,
        index,
        event: name || event.event || typeName(event.eventType),
        type: typeName(event.eventType),
        digest: toHex(digest),
        value: whole ? toHex(value) : '',
        state: drifts ? 'drift' : isAcpiData(event) ? 'host' : known ? 'expected' : 'open',
        ...(drifts ? { why: whyOf(first) } : {}),
      };
    });
  });
}

function nameOf(register: number, { kind, index, expected, found }: Departure): string | undefined {
  if (kind === 'differs') return expected?.name;
  return found && knownAddition(register, index, found)?.name;
}

function whyOf({ kind, expected }: Departure): string {
  if (kind === 'added') return 'the system measures no such event here';
  if (kind === 'missing') return `${expected?.name ?? 'an event'} is missing in front of it`;
  return `the system leads to ${expected?.digest === undefined ? 'another digest' : toHex(expected.digest)}`;
}

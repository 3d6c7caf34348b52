/** The event log as JSON, in the forms its consumers expect (dstack measurement, JSON event log). */
import { EMPTY_BYTES } from '../codec/bytes.ts';
import { fromHex, toHex } from '../codec/hex.ts';
import { perObject } from '../codec/per-object.ts';
import { DstackError } from '../errors.ts';
import { isAcpiData, isRuntimeEvent, type TdxEvent, withPreimage } from './tdx-event.ts';

/** One event in JSON; the members are in this order. */
export interface EventJson {
  imr: number;
  event_type: number;
  digest: string;
  event: string;
  event_payload: string;
  version?: 2;
  preimage?: string;
}

/** One event as it is, with its preimage where it has one. */
export function eventJson(event: TdxEvent): EventJson {
  return {
    imr: event.imr,
    event_type: event.eventType,
    digest: toHex(event.digest),
    event: event.event,
    event_payload: toHex(event.payload),
    ...(event.version === 2 ? { version: 2 as const } : {}),
    ...(event.preimage === undefined ? {} : { preimage: event.preimage }),
  };
}

/** Everything, unmodified: `tcb_info.event_log` and the eventlog command; with `preimages` also those of version 2. */
export function fullLogJson(events: readonly TdxEvent[], options: { preimages?: boolean } = {}): EventJson[] {
  return events.map((event) => {
    const { preimage: _, ...bare } = event;
    return eventJson(options.preimages ? withPreimage(bare) : bare);
  });
}

/**
 * The log inside GetQuote, TdxQuote and RawQuote answers: compact JSON text. Firmware events keep their digest and lose
 * their payload (except the ACPI tables); runtime events keep their payload and lose their digest, which a verifier must
 * compute itself.
 */
export const quoteLogJson = perObject((events: readonly TdxEvent[]): string =>
  JSON.stringify(
    events.map((event) => {
      if (isRuntimeEvent(event)) return eventJson(withPreimage({ ...event, digest: EMPTY_BYTES }));
      return eventJson(isAcpiData(event) ? event : { ...event, payload: EMPTY_BYTES });
    }),
  ),
);

/** Longest text and longest list: a log of the firmware has hundreds of events, the guest's own at most 7,000. */
const TEXT_LIMIT = 16 * 1024 * 1024;
const EVENTS_LIMIT = 131_072;

/** Reads the array form; `digest` may be missing. @throws EVENT_LOG_INVALID */
export function parseLogJson(text: string): TdxEvent[] {
  if (text.length > TEXT_LIMIT) {
    throw new DstackError('EVENT_LOG_INVALID', `event log has ${text.length} characters, at most ${TEXT_LIMIT}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw new DstackError('EVENT_LOG_INVALID', 'event log is not JSON', { cause: thrown });
  }
  if (!Array.isArray(value)) throw new DstackError('EVENT_LOG_INVALID', 'event log is not a JSON array');
  if (value.length > EVENTS_LIMIT) {
    throw new DstackError('EVENT_LOG_INVALID', `event log has ${value.length} events, at most ${EVENTS_LIMIT}`);
  }
  return value.map(fromJson);
}

function fromJson(value: unknown, index: number): TdxEvent {
  const refuse = (field: string, cause?: unknown) =>
    new DstackError('EVENT_LOG_INVALID', `event ${index} of the log has a bad ${field}`, { field, cause });
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refuse('type');
  const members = value as Record<string, unknown>;
  const integer = (field: string): number => {
    const number = members[field];
    if (typeof number !== 'number' || !Number.isInteger(number) || number < 0 || number > 0xffffffff) {
      throw refuse(field);
    }
    return number;
  };
  const hex = (field: string, missing?: string): Uint8Array => {
    const digits = members[field] ?? missing;
    if (typeof digits !== 'string') throw refuse(field);
    try {
      return fromHex(digits);
    } catch (thrown) {
      throw refuse(field, thrown);
    }
  };
  const { event, version = 1, preimage } = members;
  if (typeof event !== 'string') throw refuse('event');
  if (version !== 1 && version !== 2) throw refuse('version');
  if (preimage !== undefined && preimage !== null && typeof preimage !== 'string') throw refuse('preimage');
  return {
    imr: integer('imr'),
    eventType: integer('event_type'),
    digest: hex('digest', ''),
    event,
    payload: hex('event_payload'),
    version,
    ...(typeof preimage === 'string' ? { preimage } : {}),
  };
}

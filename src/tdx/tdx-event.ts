/** One entry of the complete event log: boot events of the firmware (CCEL) and runtime events alike. */

import { toHex } from '../codec/hex.ts';
import { latin1 } from '../codec/text.ts';
import { eventDigest, preimage, RUNTIME_EVENT_TYPE, RUNTIME_IMR, type RuntimeEvent } from './events.ts';

export interface TdxEvent {
  /** register 0 to 3; NO_REGISTER for an entry that belongs to none */
  readonly imr: number;
  readonly eventType: number;
  /** 48 bytes, or empty where a consumer is told to recompute it */
  readonly digest: Uint8Array;
  /** empty for firmware events, except the three ACPI tables */
  readonly event: string;
  readonly payload: Uint8Array;
  readonly version: 1 | 2;
  /** hex of the hashed bytes; filled for version 2 events in evidence for remote verifiers */
  readonly preimage?: string;
}

/** Payload of the three firmware events that measure QEMU's ACPI tables. */
export const ACPI_DATA = 'ACPI DATA';

/** `imr` of an entry that the firmware logs for no register (TCG PC Client Platform Firmware Profile, EV_NO_ACTION). */
export const NO_REGISTER = 0xffffffff;
/** TCG event type of entries that inform and are never measured, whatever register they name. */
export const EV_NO_ACTION = 3;

/** False for entries that only inform: no register was extended with their digest. */
export const isMeasured = ({ eventType }: Pick<TdxEvent, 'eventType'>): boolean => eventType !== EV_NO_ACTION;

export const isRuntimeEvent = (event: TdxEvent): boolean => event.eventType === RUNTIME_EVENT_TYPE;

/** True for the labelled ACPI table events. */
export function isAcpiData(event: TdxEvent): boolean {
  return event.imr === 0 && event.eventType === 0xa && latin1(event.payload) === ACPI_DATA;
}

/** A runtime event as an entry of the complete log. */
export function toTdxEvent(event: RuntimeEvent): TdxEvent {
  return {
    imr: RUNTIME_IMR,
    eventType: RUNTIME_EVENT_TYPE,
    digest: eventDigest(event),
    event: event.event,
    payload: event.payload,
    version: event.version,
  };
}

/** Fills `preimage` of version 2 runtime events: verifiers demand it there. */
export function withPreimage(event: TdxEvent): TdxEvent {
  return isRuntimeEvent(event) && event.version === 2 ? { ...event, preimage: toHex(preimage(event)) } : event;
}

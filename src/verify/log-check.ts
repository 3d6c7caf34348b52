/** Does the event log explain the registers: content, preimages, replay. */
import { toHex } from '../codec/hex.ts';
import { eventDigest, preimage } from '../tdx/events.ts';
import type { TdQuoteBody } from '../tdx/quote-layout.ts';
import { REGISTER_SIZE, replay } from '../tdx/replay.ts';
import { isAcpiData, isMeasured, isRuntimeEvent, NO_REGISTER, type TdxEvent } from '../tdx/tdx-event.ts';
import { type Check, fail, note, pass } from './check.ts';
import { type EventRow, eventRows, firstDrift } from './event-rows.ts';
import { type Evidence, runtimeEventsOf } from './evidence-forms.ts';
import type { Expectations } from './expectations.ts';

export interface LogCheck {
  readonly checks: readonly Check[];
  readonly rows: readonly EventRow[];
  readonly drift?: string;
}

/** Checks the log against the registers of the quote, and its events against what is expected of them. */
export function checkLog(evidence: Evidence, body: TdQuoteBody, expect: Expectations): LogCheck {
  const { runtimeEvents, eventLog } = evidence;
  if (runtimeEvents === undefined) {
    return { checks: [note('rtmr3-replay', 'this form carries no event log: RTMR3 is not explained')], rows: [] };
  }
  const recorded = eventLog?.filter((event) => isRuntimeEvent(event) && event.imr === 3) ?? [];
  const rows = eventRows(runtimeEvents, { pins: expect.events, predicted: expect.predicted, recorded });
  const checks: Check[] = [];
  if (eventLog !== undefined) {
    checks.push(content(eventLog, evidence), ...preimages(recorded, evidence.digestsOmitted));
    checks.push(firmware(eventLog, body));
  }
  checks.push(replayed(rows, toHex(body.rtmrs[3])));
  const drift = firstDrift(rows);
  checks.push(
    drift === undefined
      ? pass('boot-events', 'every event is one of the boot, in its place, or came after it')
      : fail('boot-events', `first drift at ${drift}`),
  );
  return { checks, rows, ...(drift === undefined ? {} : { drift }) };
}

/** Only firmware events in RTMR0 to RTMR2 and runtime events in RTMR3; both lists of runtime events the same. */
function content(log: readonly TdxEvent[], { runtimeEvents = [] }: Evidence): Check {
  const name = 'event-log';
  for (const [at, event] of log.entries()) {
    const where = `event ${at + 1} of the complete log`;
    if (!isMeasured(event) && (event.imr <= 3 || event.imr === NO_REGISTER)) continue; // says something, proves nothing
    if (event.imr > 3) return fail(name, `${where} is for register ${event.imr}, which does not exist`);
    if (isRuntimeEvent(event) !== (event.imr === 3)) {
      return fail(name, `${where} has type 0x${event.eventType.toString(16)} in RTMR${event.imr}`);
    }
    if (!isRuntimeEvent(event) && event.digest.length !== REGISTER_SIZE) {
      return fail(name, `${where} has a digest of ${event.digest.length} bytes, not ${REGISTER_SIZE}`);
    }
  }
  const other = runtimeEventsOf(log);
  const key = ({ event, payload, version }: (typeof other)[number]) => `${version}:${toHex(payload)}:${event}`;
  const differs = Math.max(other.length, runtimeEvents.length);
  for (let at = 0; at < differs; at++) {
    const [a, b] = [runtimeEvents[at], other[at]];
    if (a === undefined || b === undefined || key(a) !== key(b)) {
      return fail(name, `the two lists of runtime events differ at event ${at + 1} (${a?.event ?? b?.event})`);
    }
  }
  return pass(name, `${log.length} events, all of a known kind`);
}

/** Version 2 events must bring the bytes that were hashed, in their canonical form. */
function preimages(events: readonly TdxEvent[], digestsOmitted: boolean): Check[] {
  const second = events.filter(({ version }) => version === 2);
  if (second.length === 0) return [];
  const name = 'event-preimages';
  for (const event of second) {
    const runtime = { event: event.event, payload: event.payload, version: event.version };
    if (event.preimage === undefined) return [fail(name, `event ${event.event} has no preimage`)];
    if (event.preimage.toLowerCase() !== toHex(preimage(runtime))) {
      return [fail(name, `event ${event.event} has a preimage that is not its canonical form`)];
    }
    if (digestsOmitted && event.digest.length === 0) continue;
    if (toHex(event.digest) !== toHex(eventDigest(runtime))) {
      return [fail(name, `event ${event.event} has a digest that is not that of its preimage`)];
    }
  }
  return [pass(name, `${second.length} events of version 2 in their canonical form`)];
}

/** RTMR0 to RTMR2, when the log still has what the firmware measured. */
function firmware(log: readonly TdxEvent[], body: TdQuoteBody): Check {
  const name = 'firmware-replay';
  if (!log.some((event) => event.imr < 3 && isMeasured(event) && !isAcpiData(event))) {
    return note(name, 'this form leaves out what the firmware measured: pin mrtd and rtmr0 to rtmr2 instead');
  }
  for (const imr of [0, 1, 2] as const) {
    if (toHex(replay(log, imr)) !== toHex(body.rtmrs[imr])) return fail(name, `the log does not replay to RTMR${imr}`);
  }
  return pass(name, 'the log replays to RTMR0, RTMR1 and RTMR2');
}

function replayed(rows: readonly EventRow[], rtmr3: string): Check {
  const name = 'rtmr3-replay';
  const value = rows.at(-1)?.register ?? '00'.repeat(REGISTER_SIZE);
  if (value === rtmr3) return pass(name, `${rows.length} events replay to RTMR3`);
  const upTo = rows.find(({ register }) => register === rtmr3);
  if (upTo !== undefined) {
    return fail(name, `RTMR3 is reached at event ${upTo.index} (${upTo.event}): what follows is not in the quote`);
  }
  return fail(name, `the log replays to ${value}, the quote has ${rtmr3}`);
}

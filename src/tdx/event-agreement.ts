/**
 * Do the event log and RTMR3 still tell the same? Asked before each emit: the register is extended first and the line is
 * written after, so a process that dies between the two leaves a measurement without its line. A note that is written
 * before the extension tells which event that was. Nothing is repaired here: a log that somebody completed afterwards
 * would look as if nothing had happened.
 */
import { toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { ifExists, readLimited } from '../sys/files.ts';
import { parseLog } from './event-lines.ts';
import { eventDigest, extend, RUNTIME_IMR, type RuntimeEvent } from './events.ts';
import { REGISTER_SIZE } from './replay.ts';
import { readRtmr } from './rtmr.ts';
import type { TdxMachine } from './tdx-machine.ts';

/** The log as far as this process has replayed it: an emit then costs what is new, not the whole log. */
interface Known {
  /** the log then, at most a megabyte: an older line that changed since is noticed */
  readonly bytes: Uint8Array;
  readonly lines: number;
  readonly events: number;
  readonly value: Uint8Array;
}

const EMPTY: Known = { bytes: new Uint8Array(), lines: 0, events: 0, value: new Uint8Array(REGISTER_SIZE) };
const known = new Map<string, Known>();
const NOTE_LIMIT = 2 * 1024 * 1024;

/** Replays the log; lines that this process has replayed before are not parsed again. @throws EVENT_LOG_INVALID */
function replayLog(bytes: Uint8Array, path: string): Known {
  const last = known.get(path) ?? EMPTY;
  const start = Buffer.compare(bytes.subarray(0, last.bytes.length), last.bytes) === 0 ? last : EMPTY;
  const tail = bytes.subarray(start.bytes.length);
  const events = parseLog(tail, path, start.lines + 1);
  let { value } = start;
  for (const event of events) value = extend(value, eventDigest(event));
  const lines = tail.reduce((count, byte) => (byte === 0x0a ? count + 1 : count), start.lines);
  const now = { bytes, lines, events: start.events + events.length, value };
  known.set(path, now);
  return now;
}

/**
 * Demands that RTMR3 is what the log replays to.
 * @param bytes the log as it is now
 * @param note file that holds the line of the event whose emit began last
 * @returns number of events in the log
 * @throws EVENT_LINE_LOST when an emit was interrupted between register and line; EVENT_LOG_DIVERGED when register and
 *   log differ in another way; RTMR_READ_FAILED when the register cannot be read at all: what cannot be checked is not
 *   extended either
 */
export async function checkAgreement(
  bytes: Uint8Array,
  path: string,
  note: string,
  machine: TdxMachine,
): Promise<number> {
  if (bytes.length > 0 && bytes[bytes.length - 1] !== 0x0a) {
    throw new DstackError('EVENT_LINE_LOST', `the last line of ${path} is cut off: an emit was interrupted`, { path });
  }
  const { value, events } = replayLog(bytes, path);
  let register: Uint8Array;
  try {
    register = await readRtmr(RUNTIME_IMR, machine);
  } catch (thrown) {
    throw new DstackError('RTMR_READ_FAILED', `RTMR${RUNTIME_IMR} cannot be compared with the event log ${path}`, {
      path,
      cause: thrown,
    });
  }
  if (toHex(register) === toHex(value)) return events;
  const lost = await noted(note);
  if (lost !== undefined && toHex(extend(value, eventDigest(lost))) === toHex(register)) {
    throw new DstackError(
      'EVENT_LINE_LOST',
      `event ${lost.event} is measured into RTMR${RUNTIME_IMR}, but its line is missing in ${path}: its emit was interrupted`,
      { path, field: 'event', value: lost.event },
    );
  }
  throw new DstackError('EVENT_LOG_DIVERGED', `${difference(register, bytes, path)} (${path})`, {
    path,
    field: `rtmr${RUNTIME_IMR}`,
    value: toHex(register),
  });
}

/** Which way they differ: lines that nobody measured, or a measurement that nobody logged. */
function difference(register: Uint8Array, bytes: Uint8Array, path: string): string {
  const wanted = toHex(register);
  const events = parseLog(bytes, path);
  let value: Uint8Array = new Uint8Array(REGISTER_SIZE);
  for (const [index, event] of events.entries()) {
    if (toHex(value) === wanted) {
      return `event ${index + 1} of the log (${event.event}) and what follows it were never measured into RTMR${RUNTIME_IMR}`;
    }
    value = extend(value, eventDigest(event));
  }
  return `RTMR${RUNTIME_IMR} is ${wanted}, but the event log replays to ${toHex(value)}`;
}

/** The event in the note; undefined when there is none, or when it is torn: then the register was not reached. */
async function noted(path: string): Promise<RuntimeEvent | undefined> {
  try {
    const bytes = await ifExists(() => readLimited(path, NOTE_LIMIT));
    return bytes === undefined ? undefined : parseLog(bytes, path)[0];
  } catch {
    return undefined;
  }
}

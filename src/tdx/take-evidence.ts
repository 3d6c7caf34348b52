/** Taking evidence of this guest: the complete event log, and a quote with everything that belongs to it. */
import { cut } from '../codec/bytes.ts';
import { toHex } from '../codec/hex.ts';
import { perObject } from '../codec/per-object.ts';
import { hostShared } from '../config/paths.ts';
import { DstackError } from '../errors.ts';
import { ifExists, readLimited } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { type Attestation, encodeVersioned, strip } from './attestation.ts';
import { readCcel } from './ccel.ts';
import { type EventLogOptions, readRuntimeEvents, withEventLock } from './event-log.ts';
import { eventDigest, extend, type RuntimeEvent } from './events.ts';
import { detectTee } from './platform.ts';
import { takeQuote } from './quote.ts';
import { parseQuote } from './quote-layout.ts';
import { REGISTER_SIZE } from './replay.ts';
import { type TdxEvent, toTdxEvent, withPreimage } from './tdx-event.ts';

export interface EvidenceOptions extends EventLogOptions {
  /** vm_config text; default: the one in the host-shared system configuration */
  readonly config?: string;
}

const SYS_CONFIG_LIMIT = 1024 * 1024;

/** The complete event log: boot events of the firmware, then runtime events. @throws CCEL_*, EVENT_LOG_INVALID */
export async function readEventLog(options: EventLogOptions): Promise<readonly TdxEvent[]> {
  const boot = await readCcel(options);
  return joined(boot)(tdxEvents(await readRuntimeEvents(options)));
}

// one object for the same events: what evidence makes of a log (digests, texts, encodings) is kept with it
const tdxEvents = perObject((events: readonly RuntimeEvent[]) => events.map(toTdxEvent));
const preimaged = perObject((events: readonly RuntimeEvent[]) => tdxEvents(events).map(withPreimage));
const joined = perObject((boot: readonly TdxEvent[]) => perObject((more: readonly TdxEvent[]) => [...boot, ...more]));

/**
 * Takes a quote for 64 bytes of report data and adds the event log and the vm_config text.
 * @throws QUOTE_INVALID when the service of the host answers with a quote for something else; TEE_NOT_FOUND, QUOTE_*, CCEL_*, EVENT_LOG_INVALID, REPORT_DATA_INVALID
 */
export async function takeAttestation(reportData: Uint8Array, options: EvidenceOptions): Promise<Attestation> {
  detectTee(options);
  const boot = await readCcel(options);
  const config = options.config ?? (await vmConfigText());
  const quote = await takeQuote(reportData, options);
  const { body } = parseQuote(quote);
  if (toHex(body.reportData) !== toHex(reportData)) {
    throw new DstackError('QUOTE_INVALID', 'the quoting service answered with a quote for other report data', {
      field: 'report_data',
      value: toHex(body.reportData),
    });
  }
  const runtimeEvents = await eventsBehind(body.rtmrs[3], options);
  return {
    platform: { kind: 'tdx', quote, eventLog: joined(boot)(preimaged(runtimeEvents)) },
    reportData: cut(reportData),
    runtimeEvents,
    config,
  };
}

/** Evidence in the form that certificates carry. @throws as `takeAttestation` */
export async function certificateEvidence(reportData: Uint8Array, options: EvidenceOptions): Promise<Uint8Array> {
  return encodeVersioned(strip(await takeAttestation(reportData, options)));
}

/**
 * The runtime events that are in the quoted register. An event that is measured while the quote is taken would make the
 * evidence contradict itself: later events are left out, and a line that is just being written is waited for.
 */
async function eventsBehind(register: Uint8Array, options: EventLogOptions): Promise<readonly RuntimeEvent[]> {
  // without the lock a line may be half there: what cannot be read now is read again with it
  const events = await readRuntimeEvents(options).catch(() => undefined);
  const matching = events && prefixOf(events, register);
  if (matching !== undefined) return matching;
  const settled = await withEventLock(options, () => readRuntimeEvents(options));
  const found = prefixOf(settled, register);
  if (found === undefined) {
    ui.warn('the runtime event log does not replay to RTMR3 of the quote: verifiers will refuse this evidence');
  }
  return found ?? settled;
}

/** The events up to the one with which the register came to this value. */
function prefixOf(events: readonly RuntimeEvent[], register: Uint8Array): readonly RuntimeEvent[] | undefined {
  const count = registerValues(events).indexOf(toHex(register));
  if (count < 0) return undefined;
  return count === events.length ? events : events.slice(0, count);
}

/** Hex of the register before the first event, behind the first, and so on. */
const registerValues = perObject((events: readonly RuntimeEvent[]) => {
  let value: Uint8Array = new Uint8Array(REGISTER_SIZE);
  const values = [toHex(value)];
  for (const event of events) {
    value = extend(value, eventDigest(event));
    values.push(toHex(value));
  }
  return values;
});

/** The member vm_config of the system configuration; a missing or unreadable document counts as an empty text. */
export async function vmConfigText(): Promise<string> {
  const path = hostShared('sysConfig');
  const bytes = await ifExists(() => readLimited(path, SYS_CONFIG_LIMIT));
  if (bytes === undefined) return '';
  try {
    return vmConfigMember(bytes);
  } catch (thrown) {
    ui.warn(`${path} is not JSON, the evidence carries no vm_config: ${String(thrown)}`);
    return '';
  }
}

/** The member vm_config of a named system configuration; empty when it has none. @throws FILE_*, JSON_INVALID */
export async function vmConfigOfFile(path: string): Promise<string> {
  const bytes = await readLimited(path, SYS_CONFIG_LIMIT);
  try {
    return vmConfigMember(bytes);
  } catch (thrown) {
    throw new DstackError('JSON_INVALID', `${path} is not JSON`, { path, cause: thrown });
  }
}

function vmConfigMember(bytes: Uint8Array): string {
  const document: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
  const text = (document as { vm_config?: unknown } | null)?.vm_config;
  return typeof text === 'string' ? text : '';
}

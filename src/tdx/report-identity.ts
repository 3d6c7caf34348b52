/**
 * Evidence for Info and `show` without a quote. A TD report comes from the TDX module in microseconds and holds the same
 * registers as a quote; a quote needs the quoting enclave of the host, takes its queue, and adds only a signature that
 * neither of them shows.
 */
import { toHex } from '../codec/hex.ts';
import { perObject } from '../codec/per-object.ts';
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import type { Attestation } from './attestation.ts';
import type { EventLogOptions } from './event-log.ts';
import { withEventLock } from './event-log.ts';
import { detectTee } from './platform.ts';
import { replay } from './replay.ts';
import { takeReport } from './report.ts';
import { type EvidenceOptions, readEventLog, takeAttestation, vmConfigText } from './take-evidence.ts';
import { isRuntimeEvent, type TdxEvent } from './tdx-event.ts';

/** TDINFO, from the attributes to RTMR3: 400 bytes that have the same layout in a TD report and in a quote. */
const REPORT_TDINFO = 512;
const QUOTE_TDINFO = 168;
const TDINFO_SIZE = 400;
const QUOTE_SIZE = 636;

/**
 * What the identity of this guest is read from: a TD report, or a quote where no report can be had. For our own eyes.
 * @throws TEE_NOT_FOUND, QUOTE_*, CCEL_*, EVENT_LOG_INVALID
 */
export async function ownEvidence(options: EvidenceOptions): Promise<Attestation> {
  detectTee(options);
  const config = options.config ?? (await vmConfigText());
  return (await reportIdentity(config, options)) ?? (await takeAttestation(new Uint8Array(64), { ...options, config }));
}

/**
 * An attestation for our own eyes: its quote has the registers and no signature, so it must never leave this program.
 * @returns undefined when no report can be taken, or its register and the event log do not agree
 */
export async function reportIdentity(config: string, machine: EventLogOptions): Promise<Attestation | undefined> {
  try {
    // under the lock nobody measures: register and log belong together
    return await withEventLock(machine, () => take(config, machine));
  } catch (thrown) {
    ui.debug(`no identity from a TD report, a quote is taken: ${errorChain(thrown)}`);
    return undefined;
  }
}

async function take(config: string, machine: EventLogOptions): Promise<Attestation | undefined> {
  const report = await takeReport(new Uint8Array(64), machine);
  const eventLog = await readEventLog(machine);
  if (replayed(eventLog) !== toHex(report.rtmrs[3])) {
    ui.warn('the event log does not replay to RTMR3');
    return undefined;
  }
  return attestationOf(unsigned(report.raw), eventLog, config);
}

const replayed = perObject((log: readonly TdxEvent[]) => toHex(replay(log, 3)));

const runtimeOf = perObject((log: readonly TdxEvent[]) =>
  log.filter(isRuntimeEvent).map(({ event, payload, version }) => ({ event, payload, version })),
);

let last: Attestation | undefined;

/** The same object as the last time while nothing has changed, so that nothing has to be read out of it again. */
function attestationOf(quote: Uint8Array, eventLog: readonly TdxEvent[], config: string): Attestation {
  const platform = last?.platform;
  const same =
    platform?.kind === 'tdx' &&
    platform.eventLog === eventLog &&
    Buffer.compare(platform.quote, quote) === 0 &&
    last?.config === config;
  if (last === undefined || !same) {
    const reportData = new Uint8Array(64);
    last = { platform: { kind: 'tdx', quote, eventLog }, reportData, runtimeEvents: runtimeOf(eventLog), config };
  }
  return last;
}

/** The registers of a report in the layout of a version 4 quote, without authentication data. */
function unsigned(report: Uint8Array): Uint8Array {
  const quote = new Uint8Array(QUOTE_SIZE);
  const view = new DataView(quote.buffer);
  view.setUint16(0, 4, true);
  view.setUint32(4, 0x81, true);
  quote.set(report.subarray(REPORT_TDINFO, REPORT_TDINFO + TDINFO_SIZE), QUOTE_TDINFO);
  return quote;
}

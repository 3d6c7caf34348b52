/** Versioned attestation, form V0: a zero byte, then SCALE (dstack keys and certificates, V0). */
import { perObject } from '../codec/per-object.ts';
import { ScaleReader, ScaleWriter } from '../codec/scale.ts';
import { DstackError } from '../errors.ts';
import type { Attestation, Platform } from './attestation-shape.ts';
import type { RuntimeEvent } from './events.ts';
import type { TdxEvent } from './tdx-event.ts';
import { TPM_PLATFORMS, type TpmQuote } from './tpm-quote.ts';

const REPORT_DATA_SIZE = 64;

/** @throws ATTESTATION_INVALID when the content needs V1 (version 2 events, stack dstack-pod) */
export function encodeV0(attestation: Attestation): Uint8Array {
  if (attestation.reportDataPayload !== undefined) throw needsV1('report_data_payload');
  if (attestation.runtimeEvents.some(({ version }) => version !== 1)) throw needsV1('runtime_events');
  const { platform } = attestation;
  const eventLog = platform.kind === 'tdx' || platform.kind === 'gcp-tdx' ? platform.eventLog : [];
  if (eventLog.some(({ version, preimage }) => version !== 1 || preimage !== undefined)) throw needsV1('event_log');
  const out = new ScaleWriter().u8(0);
  writePlatform(out, platform);
  return out
    .raw(runtimeEventData(attestation.runtimeEvents))
    .raw(attestation.reportData)
    .string(attestation.config)
    .finish();
}

function needsV1(field: string): DstackError {
  return new DstackError('ATTESTATION_INVALID', `attestation form V0 cannot hold this ${field}`, { field });
}

function writePlatform(out: ScaleWriter, platform: Platform): void {
  switch (platform.kind) {
    case 'tdx':
      writeTdx(out.u8(0), platform.quote, platform.eventLog);
      return;
    case 'gcp-tdx':
      writeTdx(out.u8(1), platform.quote, platform.eventLog);
      writeTpmQuote(out, platform.tpmQuote);
      return;
    case 'nitro-enclave':
      out.u8(2).bytes(platform.nsmQuote);
      return;
    case 'sev-snp':
      out
        .u8(3)
        .bytes(platform.report)
        .vector(platform.certChain, (w, cert) => w.bytes(cert))
        .string(platform.mrConfig);
      return;
    case 'aws-nitro-tpm':
      out.u8(4).bytes(platform.attestationDoc);
  }
}

function writeTdx(out: ScaleWriter, quote: Uint8Array, eventLog: readonly TdxEvent[]): void {
  out.bytes(quote).raw(eventLogData(eventLog));
}

/** Evidence is taken again and again over the same events. */
const eventLogData = perObject((log: readonly TdxEvent[]) =>
  new ScaleWriter()
    .vector(log, (w, event) =>
      w.u32(event.imr).u32(event.eventType).bytes(event.digest).string(event.event).bytes(event.payload),
    )
    .finish(),
);

const runtimeEventData = perObject((events: readonly RuntimeEvent[]) =>
  new ScaleWriter().vector(events, (w, event) => w.string(event.event).bytes(event.payload)).finish(),
);

function writeTpmQuote(out: ScaleWriter, quote: TpmQuote): void {
  out
    .bytes(quote.message)
    .bytes(quote.signature)
    .vector(quote.pcrValues, (w, pcr) => w.u32(pcr.index).string(pcr.algorithm).bytes(pcr.value))
    .bytes(quote.akCert)
    .u8(TPM_PLATFORMS.indexOf(quote.platform))
    .vector(quote.eventLog, (w, event) => w.u32(event.pcrIndex).bytes(event.digest));
}

/** @throws ATTESTATION_INVALID */
export function decodeV0(bytes: Uint8Array): Attestation {
  try {
    return read(new ScaleReader(bytes));
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.code === 'ATTESTATION_INVALID') throw thrown;
    throw new DstackError('ATTESTATION_INVALID', 'attestation of form V0 is damaged', { cause: thrown });
  }
}

function read(from: ScaleReader): Attestation {
  const version = from.u8();
  if (version !== 0) throw unknown('version', version);
  const platform = readPlatform(from);
  const runtimeEvents = from.vector((r) => ({ event: r.string(), payload: r.bytes(), version: 1 as const }));
  const reportData = from.raw(REPORT_DATA_SIZE);
  const config = from.string();
  from.end();
  return { platform, reportData, runtimeEvents, config };
}

function unknown(field: string, value: number): DstackError {
  return new DstackError('ATTESTATION_INVALID', `attestation has unknown ${field} ${value}`, { field, value });
}

function readPlatform(from: ScaleReader): Platform {
  const kind = from.u8();
  switch (kind) {
    case 0:
      return { kind: 'tdx', quote: from.bytes(), eventLog: from.vector(readEvent) };
    case 1:
      return {
        kind: 'gcp-tdx',
        quote: from.bytes(),
        eventLog: from.vector(readEvent),
        tpmQuote: readTpmQuote(from),
      };
    case 2:
      return { kind: 'nitro-enclave', nsmQuote: from.bytes() };
    case 3:
      return {
        kind: 'sev-snp',
        report: from.bytes(),
        certChain: from.vector((r) => r.bytes()),
        mrConfig: from.string(),
      };
    case 4:
      return { kind: 'aws-nitro-tpm', attestationDoc: from.bytes() };
    default:
      throw unknown('platform', kind);
  }
}

function readEvent(from: ScaleReader): TdxEvent {
  return {
    imr: from.u32(),
    eventType: from.u32(),
    digest: from.bytes(),
    event: from.string(),
    payload: from.bytes(),
    version: 1,
  };
}

function readTpmQuote(from: ScaleReader): TpmQuote {
  const message = from.bytes();
  const signature = from.bytes();
  const pcrValues = from.vector((r) => ({ index: r.u32(), algorithm: r.string(), value: r.bytes() }));
  const akCert = from.bytes();
  const index = from.u8();
  const platform = TPM_PLATFORMS[index];
  if (platform === undefined) throw unknown('TPM platform', index);
  const eventLog = from.vector((r) => ({ pcrIndex: r.u32(), digest: r.bytes() }));
  return { message, signature, pcrValues, akCert, platform, eventLog };
}

/**
 * Versioned attestation, form V1: a msgpack map (dstack keys and certificates, V1). A wart of the format: quotes and other
 * byte vectors of the top level are arrays of numbers, while digests and payloads inside events are binary.
 */
import { decodeMsgpack, type MsgpackValue } from '../codec/msgpack.ts';
import { ByteNumbers, EncodedMsgpack, encodeMsgpack } from '../codec/msgpack-write.ts';
import { perObject } from '../codec/per-object.ts';
import { DstackError } from '../errors.ts';
import type { Attestation, Platform } from './attestation-shape.ts';
import type { RuntimeEvent } from './events.ts';
import type { TdxEvent } from './tdx-event.ts';
import { TPM_PLATFORMS, type TpmQuote } from './tpm-quote.ts';

const REPORT_DATA_SIZE = 64;
const numbers = (bytes: Uint8Array): ByteNumbers => new ByteNumbers(bytes);

export function encodeV1(attestation: Attestation): Uint8Array {
  const { platform, reportData, runtimeEvents, config, reportDataPayload } = attestation;
  const stack = {
    report_data: numbers(reportData),
    runtime_events: runtimeEventData(runtimeEvents),
    config,
    report_data_payload: reportDataPayload,
  };
  return encodeMsgpack({
    version: 1,
    platform: { kind: platform.kind, data: platformData(platform) },
    stack: { kind: reportDataPayload === undefined ? 'dstack' : 'dstack-pod', data: stack },
  });
}

function platformData(platform: Platform): unknown {
  switch (platform.kind) {
    case 'tdx':
      return { quote: numbers(platform.quote), event_log: eventLogData(platform.eventLog) };
    case 'gcp-tdx':
      return {
        quote: numbers(platform.quote),
        event_log: eventLogData(platform.eventLog),
        tpm_quote: tpmData(platform.tpmQuote),
      };
    case 'nitro-enclave':
      return { nsm_quote: numbers(platform.nsmQuote) };
    case 'aws-nitro-tpm':
      return { attestation_doc: numbers(platform.attestationDoc) };
    case 'sev-snp':
      return {
        report: numbers(platform.report),
        cert_chain: platform.certChain.map(numbers),
        mr_config: platform.mrConfig,
      };
  }
}

const eventData = (event: TdxEvent): unknown => ({
  imr: event.imr,
  event_type: event.eventType,
  digest: event.digest,
  event: event.event,
  event_payload: event.payload,
  version: event.version === 2 ? 2 : undefined,
  preimage: event.preimage,
});

/** Evidence is taken again and again over the same events. */
const eventLogData = perObject((log: readonly TdxEvent[]) => new EncodedMsgpack(log.map(eventData)));

const runtimeEventData = perObject(
  (events: readonly RuntimeEvent[]) =>
    new EncodedMsgpack(
      events.map(({ event, payload, version }) => ({ event, payload, version: version === 2 ? 2 : undefined })),
    ),
);

const tpmData = (quote: TpmQuote): unknown => ({
  message: quote.message,
  signature: quote.signature,
  pcr_values: quote.pcrValues.map(({ index, algorithm, value }) => ({ index, algorithm, value })),
  ak_cert: quote.akCert,
  platform: quote.platform,
  event_log: quote.eventLog.map(({ pcrIndex, digest }) => ({ pcr_index: pcrIndex, digest })),
});

/** @throws ATTESTATION_INVALID */
export function decodeV1(bytes: Uint8Array): Attestation {
  try {
    return read(new Members(decodeMsgpack(bytes), 'attestation'));
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.code === 'ATTESTATION_INVALID') throw thrown;
    throw new DstackError('ATTESTATION_INVALID', 'attestation of form V1 is damaged', { cause: thrown });
  }
}

function bad(field: string, want: string): DstackError {
  return new DstackError('ATTESTATION_INVALID', `attestation member ${field} is not ${want}`, { field });
}

/** Typed access to the members of one map. */
class Members {
  readonly #map: { [key: string]: MsgpackValue };
  readonly #name: string;

  constructor(value: MsgpackValue | undefined, name: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Uint8Array) {
      throw bad(name, 'a map');
    }
    this.#map = value;
    this.#name = name;
  }

  #path(key: string): string {
    return `${this.#name}.${key}`;
  }
  map(key: string): Members {
    return new Members(this.#map[key], this.#path(key));
  }
  u32(key: string): number {
    const value = this.#map[key];
    if (typeof value !== 'number' || value < 0 || value > 0xffffffff) throw bad(this.#path(key), 'a 32-bit number');
    return value;
  }
  text(key: string): string {
    const value = this.#map[key];
    if (typeof value !== 'string') throw bad(this.#path(key), 'text');
    return value;
  }
  optionalText(key: string): string | undefined {
    return this.#map[key] === undefined || this.#map[key] === null ? undefined : this.text(key);
  }
  bin(key: string): Uint8Array {
    const value = this.#map[key];
    if (!(value instanceof Uint8Array)) throw bad(this.#path(key), 'binary');
    return value;
  }
  /** bytes written as an array of numbers */
  numbers(key: string): Uint8Array {
    return byteArray(this.#map[key], this.#path(key));
  }
  list<T>(key: string, element: (members: Members) => T): T[] {
    return this.#array(key).map((value, index) => element(new Members(value, `${this.#path(key)}[${index}]`)));
  }
  numberLists(key: string): Uint8Array[] {
    return this.#array(key).map((value, index) => byteArray(value, `${this.#path(key)}[${index}]`));
  }
  #array(key: string): MsgpackValue[] {
    const value = this.#map[key];
    if (!Array.isArray(value)) throw bad(this.#path(key), 'an array');
    return value;
  }
  eventVersion(): 1 | 2 {
    const value = this.#map['version'];
    if (value === undefined || value === null || value === 1) return 1;
    if (value === 2) return 2;
    throw bad(this.#path('version'), '1 or 2');
  }
}

function byteArray(value: MsgpackValue | undefined, name: string): Uint8Array {
  if (!Array.isArray(value)) throw bad(name, 'an array of bytes');
  const out = new Uint8Array(value.length);
  value.forEach((item, index) => {
    if (typeof item !== 'number' || item < 0 || item > 255) throw bad(`${name}[${index}]`, 'a byte');
    out[index] = item;
  });
  return out;
}

function read(top: Members): Attestation {
  const version = top.u32('version');
  if (version !== 1) throw bad('version', '1');
  const platform = readPlatform(top.map('platform'));
  const stack = top.map('stack');
  const kind = stack.text('kind');
  if (kind !== 'dstack' && kind !== 'dstack-pod') throw bad('stack.kind', 'dstack or dstack-pod');
  const data = stack.map('data');
  const reportData = data.numbers('report_data');
  if (reportData.length !== REPORT_DATA_SIZE) throw bad('stack.data.report_data', `${REPORT_DATA_SIZE} bytes`);
  return {
    platform,
    reportData,
    runtimeEvents: data.list(
      'runtime_events',
      (m): RuntimeEvent => ({ event: m.text('event'), payload: m.bin('payload'), version: m.eventVersion() }),
    ),
    config: data.text('config'),
    ...(kind === 'dstack-pod' ? { reportDataPayload: data.text('report_data_payload') } : {}),
  };
}

function readPlatform(platform: Members): Platform {
  const kind = platform.text('kind');
  const data = platform.map('data');
  switch (kind) {
    case 'tdx':
      return { kind, quote: data.numbers('quote'), eventLog: data.list('event_log', readEvent) };
    case 'gcp-tdx':
      return {
        kind,
        quote: data.numbers('quote'),
        eventLog: data.list('event_log', readEvent),
        tpmQuote: readTpmQuote(data.map('tpm_quote')),
      };
    case 'nitro-enclave':
      return { kind, nsmQuote: data.numbers('nsm_quote') };
    case 'aws-nitro-tpm':
      return { kind, attestationDoc: data.numbers('attestation_doc') };
    case 'sev-snp':
      return {
        kind,
        report: data.numbers('report'),
        certChain: data.numberLists('cert_chain'),
        mrConfig: data.text('mr_config'),
      };
    default:
      throw bad('platform.kind', 'a known platform');
  }
}

function readEvent(members: Members): TdxEvent {
  const preimage = members.optionalText('preimage');
  return {
    imr: members.u32('imr'),
    eventType: members.u32('event_type'),
    digest: members.bin('digest'),
    event: members.text('event'),
    payload: members.bin('event_payload'),
    version: members.eventVersion(),
    ...(preimage === undefined ? {} : { preimage }),
  };
}

function readTpmQuote(members: Members): TpmQuote {
  const name = members.text('platform');
  const platform = TPM_PLATFORMS.find((known) => known === name);
  if (platform === undefined) throw bad('tpm_quote.platform', 'a known platform');
  return {
    message: members.bin('message'),
    signature: members.bin('signature'),
    pcrValues: members.list('pcr_values', (m) => ({
      index: m.u32('index'),
      algorithm: m.text('algorithm'),
      value: m.bin('value'),
    })),
    akCert: members.bin('ak_cert'),
    platform,
    eventLog: members.list('event_log', (m) => ({ pcrIndex: m.u32('pcr_index'), digest: m.bin('digest') })),
  };
}

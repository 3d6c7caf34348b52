/**
 * Attestations for people and scripts: what the commands attest-info and attest-json print, and the files they read
 * (dstack command line, attest commands).
 */
import { fromHex, toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import { ATTESTATION_LIMIT, type Attestation, type AttestationForm, decodeVersioned } from './attestation.ts';
import { eventJson, fullLogJson } from './log-json.ts';
import { parseQuote } from './quote-layout.ts';
import { replayRuntime } from './replay.ts';
import type { TpmQuote } from './tpm-quote.ts';

export interface AttestationFile {
  readonly form: AttestationForm;
  readonly attestation: Attestation;
  /** the versioned bytes */
  readonly bytes: Uint8Array;
}

/** Names of the platforms: as documents write them, and as `attest-info` has always printed them. */
const MODES = {
  tdx: ['dstack-tdx', 'DstackTdx'],
  'gcp-tdx': ['dstack-gcp-tdx', 'DstackGcpTdx'],
  'nitro-enclave': ['dstack-nitro-enclave', 'DstackNitroEnclave'],
  'sev-snp': ['dstack-amd-sev-snp', 'DstackAmdSevSnp'],
  'aws-nitro-tpm': ['dstack-aws-nitro-tpm', 'DstackAwsNitroTpm'],
} as const satisfies Record<Attestation['platform']['kind'], readonly [string, string]>;

const HEX_TEXT = /^\s*(?:[0-9a-fA-F]{2})+\s*$/;

/**
 * Reads a file of versioned bytes, or of their hex text as `attest --hex` writes it.
 * @throws FILE_*, ATTESTATION_INVALID
 */
export async function readAttestationFile(path: string): Promise<AttestationFile> {
  const raw = await readLimited(path, 2 * ATTESTATION_LIMIT + 2);
  // versioned bytes start with 0x00 or at least 0x80, hex text with neither
  const text = raw[0] !== undefined && raw[0] > 0 && raw[0] < 0x80 ? Buffer.from(raw).toString('latin1') : '';
  const bytes = HEX_TEXT.test(text) ? fromHex(text.trim()) : raw;
  try {
    return { ...decodeVersioned(bytes), bytes };
  } catch (thrown) {
    throw new DstackError('ATTESTATION_INVALID', `${path} is not an attestation`, { path, cause: thrown });
  }
}

interface Parts {
  readonly quote?: Uint8Array;
  readonly tpmQuote?: TpmQuote;
}

const partsOf = ({ platform }: Attestation): Parts => ({
  ...('quote' in platform ? { quote: platform.quote } : {}),
  ...(platform.kind === 'gcp-tdx' ? { tpmQuote: platform.tpmQuote } : {}),
});

const eventLogOf = ({ platform }: Attestation) => ('eventLog' in platform ? platform.eventLog : []);

/** What an attestation is made of, in the order in which attest-info prints it. Sizes in bytes. */
export function attestationInfo({ form, attestation, bytes }: AttestationFile): Record<string, string | number> {
  const { quote, tpmQuote } = partsOf(attestation);
  const log = eventLogOf(attestation);
  const common = {
    total_bytes: bytes.length,
    version: form,
    mode: MODES[attestation.platform.kind][1],
    config_bytes: Buffer.byteLength(attestation.config),
    tdx_quote_bytes: quote?.length ?? 0,
    event_log_entries: log.length,
    event_log_json_bytes: Buffer.byteLength(JSON.stringify(fullLogJson(log))),
    tpm_quote_bytes: tpmQuote === undefined ? 0 : JSON.stringify(tpmQuoteJson(tpmQuote)).length,
  };
  if (form === 'V0') return common;
  return {
    ...common,
    platform: attestation.platform.kind,
    stack: attestation.reportDataPayload === undefined ? 'dstack' : 'dstack-pod',
    report_data: toHex(attestation.reportData),
    runtime_events: attestation.runtimeEvents.map(({ event, version }) => `${event} (v${version})`).join(', '),
    replayed_rtmr3: toHex(replayRuntime(attestation.runtimeEvents)),
    ...(quote === undefined ? {} : quotedRegister(quote)),
  };
}

function quotedRegister(quote: Uint8Array): Record<string, string> {
  try {
    return { quoted_rtmr3: toHex(parseQuote(quote).body.rtmrs[3]) };
  } catch {
    return { quoted_rtmr3: 'the quote cannot be read' };
  }
}

/** The complete content as JSON: V0 in its own shape, V1 member by member as in its msgpack form. */
export function attestationJson({ form, attestation }: AttestationFile): Record<string, unknown> {
  return form === 'V0' ? v0Json(attestation) : v1Json(attestation);
}

function v0Json(attestation: Attestation): Record<string, unknown> {
  const { quote, tpmQuote } = partsOf(attestation);
  return {
    version: 'V0',
    mode: MODES[attestation.platform.kind][0],
    config: attestation.config,
    tdx_quote: quote === undefined ? null : { quote: toHex(quote), event_log: fullLogJson(eventLogOf(attestation)) },
    tpm_quote: tpmQuote === undefined ? null : tpmQuoteJson(tpmQuote),
  };
}

/** Byte vectors that are arrays of numbers in msgpack are arrays here too; events have the form of their own logs. */
function v1Json(attestation: Attestation): Record<string, unknown> {
  const { platform, reportDataPayload } = attestation;
  return {
    version: 1,
    platform: { kind: platform.kind, data: platformJson(platform) },
    stack: {
      kind: reportDataPayload === undefined ? 'dstack' : 'dstack-pod',
      data: {
        report_data: Array.from(attestation.reportData),
        runtime_events: attestation.runtimeEvents.map(({ event, payload, version }) => ({
          event,
          payload: Buffer.from(payload).toString('base64'),
          ...(version === 2 ? { version } : {}),
        })),
        config: attestation.config,
        ...(reportDataPayload === undefined ? {} : { report_data_payload: reportDataPayload }),
      },
    },
  };
}

function platformJson(platform: Attestation['platform']): Record<string, unknown> {
  switch (platform.kind) {
    case 'tdx':
      return { quote: Array.from(platform.quote), event_log: platform.eventLog.map(eventJson) };
    case 'gcp-tdx':
      return {
        quote: Array.from(platform.quote),
        event_log: platform.eventLog.map(eventJson),
        tpm_quote: tpmQuoteJson(platform.tpmQuote),
      };
    case 'nitro-enclave':
      return { nsm_quote: Array.from(platform.nsmQuote) };
    case 'aws-nitro-tpm':
      return { attestation_doc: Array.from(platform.attestationDoc) };
    case 'sev-snp':
      return {
        report: Array.from(platform.report),
        cert_chain: platform.certChain.map((certificate) => Array.from(certificate)),
        mr_config: platform.mrConfig,
      };
  }
}

const tpmQuoteJson = (quote: TpmQuote): Record<string, unknown> => ({
  message: toHex(quote.message),
  signature: toHex(quote.signature),
  pcr_values: quote.pcrValues.map(({ index, algorithm, value }) => ({ index, algorithm, value: toHex(value) })),
  ak_cert: toHex(quote.akCert),
  platform: quote.platform,
  event_log: quote.eventLog.map(({ pcrIndex, digest }) => ({ pcr_index: pcrIndex, digest: toHex(digest) })),
});

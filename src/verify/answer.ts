/** Answers of the guest agent in JSON: GetQuote, TdxQuote, RawQuote, Attest, and the output of `quote-report`. */
import { bytesOfText } from '../codec/bytes-text.ts';
import { fromHex } from '../codec/hex.ts';
import { Fields } from '../config/fields.ts';
import { parseStrictJsonBytes } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';
import { parseLogJson } from '../tdx/log-json.ts';
import { type Evidence, fromVersioned, runtimeEventsOf, sgxQuoteAlone } from './evidence-forms.ts';
import { isSgxQuote } from './sgx-layout.ts';

const PATH = 'input';
/** An answer has a quote of 5 to 8 KB in hex and an event log. */
export const ANSWER_LIMIT = 1024 * 1024;

/** @throws JSON_INVALID, DOCUMENT_INVALID, EVENT_LOG_INVALID, ATTESTATION_INVALID, EVIDENCE_INVALID */
export function parseAnswer(bytes: Uint8Array): Evidence {
  if (bytes.length > ANSWER_LIMIT) {
    throw new DstackError('EVIDENCE_INVALID', `the JSON text has ${bytes.length} bytes, more than ${ANSWER_LIMIT}`);
  }
  const fields = new Fields(parseStrictJsonBytes(bytes, PATH), { path: PATH });
  const quote = bytesOf(fields, 'quote');
  if (quote === undefined || quote.length === 0) {
    const attestation = bytesOf(fields, 'attestation');
    if (attestation === undefined || attestation.length === 0) {
      throw new DstackError('EVIDENCE_INVALID', 'the JSON object has neither a quote nor an attestation');
    }
    const evidence = fromVersioned(attestation);
    return { ...evidence, form: `${evidence.form} in an answer of the agent` };
  }
  if (isSgxQuote(quote)) return sgxQuoteAlone(quote, 'SGX quote in an answer');
  const log = logOf(fields);
  const reportData = hexOf(fields, 'report_data');
  return {
    kind: 'answer',
    form: 'answer of the agent',
    platform: 'tdx',
    quote,
    ...(log === undefined ? {} : { eventLog: log, runtimeEvents: runtimeEventsOf(log) }),
    ...(reportData === undefined || reportData.length === 0 ? {} : { reportData: padded(reportData) }),
    config: fields.optionalString('vm_config') ?? '',
    digestsOmitted: true,
  };
}

/** The agent writes hex; others keep the same object with base64 or an array of bytes in it. */
function bytesOf(fields: Fields, field: string): Uint8Array | undefined {
  if (Array.isArray(fields.raw(field))) return bytesOfJson(fields.raw(field));
  const text = fields.optionalString(field);
  return text === undefined ? undefined : bytesOfText(text).bytes;
}

/** An array of numbers from 0 to 255. @throws EVIDENCE_INVALID */
export function bytesOfJson(value: unknown): Uint8Array {
  const bytes = Array.isArray(value) ? value : [undefined];
  if (bytes.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)) return Uint8Array.from(bytes);
  throw new DstackError('EVIDENCE_INVALID', 'the JSON array is not one of bytes');
}

function hexOf(fields: Fields, field: string): Uint8Array | undefined {
  const text = fields.optionalString(field);
  return text === undefined ? undefined : fromHex(text, { field, prefix: true });
}

/** The log is JSON text inside the JSON; some clients have it unpacked already. */
function logOf(fields: Fields) {
  const value = fields.raw('event_log');
  if (value === undefined || value === null || value === '') return undefined;
  return parseLogJson(Array.isArray(value) ? JSON.stringify(value) : fields.string('event_log'));
}

/** The agent pads short report data with zeros. */
function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.length >= 64) return bytes;
  const out = new Uint8Array(64);
  out.set(bytes);
  return out;
}

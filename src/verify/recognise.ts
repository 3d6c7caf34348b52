/** What can be verified, told apart by content. */
import { bytesOfText } from '../codec/bytes-text.ts';
import { utf8Bytes } from '../codec/text.ts';
import { parseStrictJson } from '../config/strict-json.ts';
import { DstackError } from '../errors.ts';
import { bytesOfJson, parseAnswer } from './answer.ts';
import { type Evidence, fromVersioned, quoteAlone, sgxQuoteAlone } from './evidence-forms.ts';
import { evidenceFromDer, evidenceFromPem } from './ra-tls.ts';
import { isSgxQuote } from './sgx-layout.ts';

/**
 * Largest input in bytes. Real evidence has 5 to 300 KB; the formats themselves would allow an attestation of 10 MiB,
 * but decoding that much hostile input would take longer than refusing it.
 */
export const EVIDENCE_LIMIT = 2 * 1024 * 1024;
/** Most events of a log: a full CCEL table holds some 900, and an app adds a few. */
export const EVENT_LIMIT = 8192;

const invalid = (what: string, cause?: unknown): DstackError =>
  new DstackError('EVIDENCE_INVALID', what, {
    field: 'input',
    cause,
    hint: 'docs/verification.md lists what can be read',
  });

/**
 * Recognises a raw quote (TDX v4 and v5, SGX v3), versioned attestation bytes (V0, V1), a certificate (PEM or DER), an answer of
 * the guest agent in JSON, and the first three kept as text: hex, base64 or base64url, PEM of any label, a JSON string, a JSON
 * array of bytes. Which one it is follows from the content alone (`bytesOfText` for hex and base64).
 * @throws EVIDENCE_INVALID with the decoder's error as its cause
 */
export function readEvidence(bytes: Uint8Array): Evidence {
  if (bytes.length === 0) throw invalid('the input is empty');
  if (bytes.length > EVIDENCE_LIMIT) {
    throw invalid(`the input has ${bytes.length} bytes, more than ${EVIDENCE_LIMIT}`);
  }
  let evidence: Evidence;
  try {
    evidence = recognise(bytes);
  } catch (thrown) {
    if (thrown instanceof DstackError && thrown.code === 'EVIDENCE_INVALID') throw thrown;
    throw invalid('the input cannot be decoded', thrown);
  }
  checkCount(Math.max(evidence.eventLog?.length ?? 0, evidence.runtimeEvents?.length ?? 0));
  return evidence;
}

/** @throws EVIDENCE_INVALID for more events than anybody measures */
export function checkCount(events: number): void {
  if (events > EVENT_LIMIT) throw invalid(`the event log has ${events} events, more than ${EVENT_LIMIT}`);
}

const NOTHING = 'the input is neither a quote, an attestation, an answer of the agent nor a certificate';

function recognise(bytes: Uint8Array): Evidence {
  const [first = 0, second = 0] = bytes;
  if (first === 0x1f && second === 0x8b) throw invalid('the input is compressed with gzip: decompress it');
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    throw invalid('the input is text in UTF-16: save it as UTF-8');
  }
  return fromBinary(bytes) ?? fromText(textOf(bytes));
}

/** Without a byte order mark. */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    // each engine has its own words for it
    throw invalid(NOTHING);
  }
}

/** Undefined for what no binary form begins with. */
function fromBinary(bytes: Uint8Array): Evidence | undefined {
  const [first = 0, second = 0] = bytes;
  if (isSgxQuote(bytes)) return sgxQuoteAlone(bytes, `SGX quote v${first}`);
  if ((first === 4 || first === 5) && second === 0) return quoteAlone(bytes, `quote v${first}`);
  if (first === 0x30 && second >= 0x80) return evidenceFromDer(bytes);
  const mark = first === 0xef && second === 0xbb && bytes[2] === 0xbf;
  return first === 0 || (first >= 0x80 && !mark) ? fromVersioned(bytes) : undefined;
}

/** @param inner the text was the value of a JSON string: nothing writes a string in a string */
function fromText(given: string, inner = false): Evidence {
  const text = given.trim();
  const pem = /^-----BEGIN ([A-Z0-9 ]+)-----\s([^-]*)-----END \1-----$/.exec(text);
  if (text.startsWith('-----BEGIN ') && (pem === null || pem[1] === 'CERTIFICATE')) return evidenceFromPem(text);
  if (pem !== null) return kept(bytesOfText(pem[2] ?? '').bytes, 'in PEM');
  if (text.startsWith('{')) return parseAnswer(utf8Bytes(text));
  if (text.startsWith('[')) return kept(bytesOfJson(parseStrictJson(text, 'input')), 'as a JSON array');
  if (text.startsWith('"') && !inner) {
    const value = parseStrictJson(text, 'input');
    if (typeof value !== 'string') throw invalid(NOTHING);
    const evidence = fromText(value, true);
    return { ...evidence, form: `${evidence.form}, in a JSON string` };
  }
  if (!/^[0-9A-Za-z+/=_\s-]+$/.test(text)) throw invalid(NOTHING);
  const { bytes, encoding } = bytesOfText(text);
  return kept(bytes, `in ${encoding}`);
}

/** One level only: nothing writes hex of hex. */
function kept(bytes: Uint8Array, how: string): Evidence {
  const evidence = fromBinary(bytes);
  if (evidence === undefined) throw invalid(`${NOTHING} (it was read as bytes ${how})`);
  return { ...evidence, form: `${evidence.form} ${how}` };
}

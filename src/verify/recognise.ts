/** What can be verified, told apart by content. */

import { fromHex } from '../codec/hex.ts';
import { latin1 } from '../codec/text.ts';
import { DstackError } from '../errors.ts';
import { parseAnswer } from './answer.ts';
import { type Evidence, fromVersioned, quoteAlone } from './evidence-forms.ts';
import { evidenceFromDer, evidenceFromPem } from './ra-tls.ts';

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
 * Recognises a raw quote (v4, v5), the hex text of one or of an attestation, an answer of the guest agent in JSON, versioned
 * attestation bytes (V0, V1) and a certificate (PEM or DER).
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

function recognise(bytes: Uint8Array): Evidence {
  const [first = 0, second = 0] = bytes;
  if ((first === 4 || first === 5) && second === 0) return quoteAlone(bytes, `raw quote v${first}`);
  if (first === 0x30 && second >= 0x80) return evidenceFromDer(bytes);
  if (first === 0 || first >= 0x80) return fromVersioned(bytes);
  const text = latin1(bytes).trim();
  if (text.startsWith('-----BEGIN ')) return evidenceFromPem(text);
  if (text.startsWith('{')) return parseAnswer(bytes);
  if (/^(0x)?[0-9a-f]+$/i.test(text)) return fromHexText(text);
  throw invalid('the input is neither a quote, an attestation, an answer of the agent nor a certificate');
}

/** One level only: nothing writes hex of hex. */
function fromHexText(text: string): Evidence {
  const bytes = fromHex(text, { prefix: true, field: 'input' });
  const [first = 0, second = 0] = bytes;
  if ((first === 4 || first === 5) && second === 0) return quoteAlone(bytes, `quote v${first} in hex`);
  const evidence = fromVersioned(bytes);
  return { ...evidence, form: `${evidence.form} in hex` };
}

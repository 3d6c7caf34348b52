/** What a development KMS does wrong on demand, so that the errors of its clients can be seen. */
import { concat } from '../../src/codec/bytes.ts';

export interface Faults {
  /** answers this many requests; after that every connection is closed without an answer */
  readonly failAfter?: number;
  /** milliseconds before each answer */
  readonly delay?: number;
  /** shows a certificate that another root has signed */
  readonly wrongCert?: boolean;
  /** shows a certificate that is for something else than a KMS */
  readonly wrongUsage?: boolean;
  /** shows a certificate whose quote was changed after it was signed */
  readonly badQuote?: boolean;
}

/** Offset of mr_config_id in a version 4 quote: a part that is signed and that nothing but the signature protects here. */
const CHANGED_BYTE = 232;

/** The quote with one bit changed. */
export function spoil(quote: Uint8Array): Uint8Array {
  const out = concat(quote);
  out[CHANGED_BYTE] = (out[CHANGED_BYTE] ?? 0) ^ 1;
  return out;
}

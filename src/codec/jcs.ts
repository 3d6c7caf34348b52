/** Canonical JSON (RFC 8785): keys in UTF-16 order, ECMAScript numbers, no white space. What is hashed goes through here. */
import canonicalizeModule from 'canonicalize';
import { DstackError } from '../errors.ts';

// its types describe a default export, but the CommonJS module is the function itself
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string | undefined;

/**
 * The canonical text of a JSON value.
 * @throws CODEC_INVALID for a value that JSON cannot express (undefined, NaN, a bigint, text with a lone surrogate)
 */
export function canonicalJson(value: unknown): string {
  let text: string | undefined;
  try {
    text = canonicalize(value);
  } catch (thrown) {
    throw new DstackError('CODEC_INVALID', 'the value has no canonical JSON form', { cause: thrown });
  }
  if (text === undefined) throw new DstackError('CODEC_INVALID', 'the value has no canonical JSON form');
  // RFC 8785 3.2.2.2: a lone surrogate must end the serialisation; JSON.stringify writes it as an escape instead
  if (/\\ud[89a-f][0-9a-f]{2}/.test(text.replaceAll('\\\\', ''))) {
    throw new DstackError('CODEC_INVALID', 'the value holds text that is not Unicode (a lone surrogate)');
  }
  return text;
}

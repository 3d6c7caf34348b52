/** Bytes that somebody keeps as text, in whichever of the usual forms. */
import { DstackError } from '../errors.ts';
import { fromHex } from './hex.ts';
import { fromBase64 } from './text.ts';

export interface TextBytes {
  readonly bytes: Uint8Array;
  readonly encoding: 'hex' | 'base64';
}

/**
 * Decodes hex or base64. White space does not count. What consists of hex digits alone, behind 0x or not, is hex, even where it
 * could be base64 as well; anything else is base64 or base64url. So each text has one meaning.
 * @throws HEX_INVALID (an odd number of digits), CODEC_INVALID (neither)
 */
export function bytesOfText(text: string): TextBytes {
  const packed = text.replace(/\s+/g, '');
  if (/^(?:0x)?[0-9a-f]*$/i.test(packed)) return { bytes: fromHex(packed, { prefix: true }), encoding: 'hex' };
  const bytes = anyBase64(packed);
  if (bytes !== undefined) return { bytes, encoding: 'base64' };
  throw new DstackError('CODEC_INVALID', 'the text is neither hex nor base64 with nothing missing');
}

/** Base64 or base64url (RFC 4648, 4 and 5), with its padding or without; not a mixture of both. */
function anyBase64(text: string): Uint8Array | undefined {
  if (/[+/]/.test(text) && /[-_]/.test(text)) return undefined;
  const standard = text.replaceAll('-', '+').replaceAll('_', '/');
  return fromBase64(text.includes('=') ? standard : standard.padEnd(Math.ceil(standard.length / 4) * 4, '='));
}

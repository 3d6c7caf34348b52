/** Hexadecimal text. Written in lower case without a prefix; read in either letter case. */
import { DstackError } from '../errors.ts';

/** Newer engines bring these by themselves (ECMAScript 2026), many times faster than anything written here. */
interface NativeHex {
  readonly toHex?: () => string;
}
interface NativeFromHex {
  readonly fromHex?: (digits: string) => Uint8Array;
}

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

function slowHex(bytes: Uint8Array): string {
  let out = '';
  for (let at = 0; at < bytes.length; at++) out += DIGITS[bytes[at] as number];
  return out;
}

function slowBytes(digits: string): Uint8Array {
  const out = new Uint8Array(digits.length / 2);
  for (let at = 0; at < out.length; at++) out[at] = Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16);
  return out;
}

/** Lower-case hex, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  return (bytes as NativeHex).toHex?.() ?? slowHex(bytes);
}

export interface FromHexOptions {
  /** named in the error */
  readonly field?: string;
  /** accept (any number of) leading `0x`: RPC bodies and command line options only, never documents */
  readonly prefix?: boolean;
  /** exact number of bytes */
  readonly length?: number;
  /** the text is a secret: the error does not show it */
  readonly secret?: boolean;
}

/**
 * Decodes hex text of either letter case.
 * @throws HEX_INVALID for an odd length, another character, or another number of bytes than `length`
 */
export function fromHex(text: string, options: FromHexOptions = {}): Uint8Array {
  const { field, length, secret } = options;
  const digits = options.prefix ? text.replace(/^(?:0[xX])+/, '') : text;
  const where = field === undefined ? '' : ` in ${field}`;
  const details = { field, value: secret ? undefined : text };
  if (digits.length % 2 !== 0) {
    throw new DstackError('HEX_INVALID', `hex text${where} has an odd number of digits`, details);
  }
  if (!/^[0-9a-fA-F]*$/.test(digits)) {
    throw new DstackError('HEX_INVALID', `hex text${where} has a character that is not a hex digit`, details);
  }
  if (length !== undefined && digits.length !== 2 * length) {
    throw new DstackError(
      'HEX_INVALID',
      `hex text${where} has ${digits.length / 2} bytes instead of ${length}`,
      details,
    );
  }
  return (Uint8Array as NativeFromHex).fromHex?.(digits) ?? slowBytes(digits);
}

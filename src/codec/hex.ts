/** Hexadecimal text. Written in lower case without a prefix; read in either letter case. */
import { DstackError } from '../errors.ts';

/** Lower-case hex, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
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
  return new Uint8Array(Buffer.from(digits, 'hex'));
}

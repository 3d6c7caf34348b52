/** What callers may hand over where bytes are wanted. */
import { fromHex } from '../../src/codec/hex.ts';
import { utf8Bytes } from '../../src/codec/text.ts';

/** Bytes, or the text of a file as it stands there. */
export type Content = Uint8Array | string;

/** Bytes, or hex text with or without 0x. */
export type Hex = Uint8Array | string;

export const contentBytes = (content: Content): Uint8Array =>
  typeof content === 'string' ? utf8Bytes(content) : new Uint8Array(content);

/** @throws HEX_INVALID naming the field */
export const hexBytes = (field: string, value: Hex): Uint8Array =>
  typeof value === 'string' ? fromHex(value, { field, prefix: true }) : new Uint8Array(value);

/** The same for what may be left out. */
export const optionalHexBytes = (field: string, value: Hex | undefined): Uint8Array | undefined =>
  value === undefined ? undefined : hexBytes(field, value);

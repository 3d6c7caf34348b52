/** Text of bytes and back, by what every JavaScript engine has. Strict UTF-8 is `utf8` of src/sys/utf8.ts. */

/** Bytes a call takes: engines limit the number of arguments. */
const STEP = 8192;

/** Each byte as the character of that number (ISO 8859-1). `TextDecoder` means windows-1252 by that name. */
export function latin1(bytes: Uint8Array): string {
  if (bytes.length <= STEP) return String.fromCharCode(...bytes);
  const parts: string[] = [];
  for (let at = 0; at < bytes.length; at += STEP) parts.push(String.fromCharCode(...bytes.subarray(at, at + STEP)));
  return parts.join('');
}

/** The bytes of characters up to U+00FF; of others their low byte. */
export const fromLatin1 = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));

const encoder = new TextEncoder();
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

/** UTF-8 of a text. */
export const utf8Bytes = (text: string): Uint8Array => encoder.encode(text);

/** UTF-8 with a replacement character for what is malformed. A byte order mark is kept. */
export const lenientUtf8 = (bytes: Uint8Array): string => lenient.decode(bytes);

/** Newer engines bring these by themselves (ECMAScript 2026), many times faster than anything written here. */
interface NativeBase64 {
  readonly toBase64?: () => string;
}

/** Base64 with padding (RFC 4648, 4). */
export function toBase64(bytes: Uint8Array): string {
  return (bytes as NativeBase64).toBase64?.() ?? btoa(latin1(bytes));
}

/** Undefined unless it is what an encoder writes: the standard alphabet, padding, no white space, no bits left over. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return undefined;
  const bytes = fromLatin1(atob(text));
  return toBase64(bytes) === text ? bytes : undefined;
}

/** Writing DER (ITU-T X.690): the few types that certificates are made of. Every function returns one complete item. */
import { fromLatin1 } from '../codec/text.ts';

/** Tag, length in its shortest form, content. */
export function item(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of content) length += part.length;
  const extra = length < 0x80 ? 0 : length < 0x100 ? 1 : length < 0x1_0000 ? 2 : length < 0x100_0000 ? 3 : 4;
  let at = 2 + extra;
  const out = new Uint8Array(at + length);
  out[0] = tag;
  out[1] = extra === 0 ? length : 0x80 | extra;
  for (let index = 0, rest = length; index < extra; index++, rest = Math.floor(rest / 256)) out[at - 1 - index] = rest;
  for (const part of content) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export const sequence = (...items: readonly Uint8Array[]): Uint8Array => item(0x30, ...items);
export const set = (...items: readonly Uint8Array[]): Uint8Array => item(0x31, ...items);
export const octets = (content: Uint8Array): Uint8Array => item(0x04, content);
export const utf8String = (text: string): Uint8Array => item(0x0c, new TextEncoder().encode(text));
/** BOOLEAN TRUE; FALSE is the default wherever it may stand, and is not written. */
export const booleanTrue = (): Uint8Array => item(0x01, Uint8Array.of(0xff));

/** A non-negative INTEGER from its big-endian bytes. */
export function integer(bytes: Uint8Array): Uint8Array {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from++;
  const shortest = bytes.subarray(from);
  return item(
    0x02,
    (shortest[0] ?? 0) >= 0x80 || shortest.length === 0 ? Uint8Array.of(0) : new Uint8Array(0),
    shortest,
  );
}

/** @param unused bits at the end that do not count */
export const bits = (bytes: Uint8Array, unused = 0): Uint8Array => item(0x03, Uint8Array.of(unused), bytes);

/** the identifiers that certificates are made of are few */
const OIDS_KEPT = 64;
const oids = new Map<string, Uint8Array>();

/** An OBJECT IDENTIFIER from its dotted text. The same array every time: not to be changed. */
export function oid(text: string): Uint8Array {
  let known = oids.get(text);
  if (known === undefined) {
    known = encodeOid(text);
    if (oids.size < OIDS_KEPT) oids.set(text, known);
  }
  return known;
}

function encodeOid(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const group = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) group.unshift(0x80 | (left % 128));
    bytes.push(...group);
  }
  return item(0x06, Uint8Array.from(bytes));
}

/** A point in time as RFC 5280 wants it (4.1.2.5): UTCTime from 1950 to 2049, else GeneralizedTime. */
export function time(seconds: number): Uint8Array {
  const text = new Date(seconds * 1000).toISOString().replace(/\.\d+/, '').replace(/[-:T]/g, '');
  const year = Number(text.slice(0, 4));
  const short = year >= 1950 && year < 2050;
  return item(short ? 0x17 : 0x18, fromLatin1(short ? text.slice(2) : text));
}

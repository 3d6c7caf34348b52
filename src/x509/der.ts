/**
 * Reading DER (ITU-T X.690): tag, definite length in its shortest form, content. Each value has one encoding, and no other
 * is read. Nothing is copied or allocated ahead.
 */
import { latin1 } from '../codec/text.ts';
import { DstackError } from '../errors.ts';

export interface DerItem {
  /** identifier octet; tags above 30 do not occur in certificates and are refused */
  readonly tag: number;
  /** the content octets, a view */
  readonly content: Uint8Array;
  /** the whole item with its header, a view */
  readonly raw: Uint8Array;
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmpString: 0x1e,
  enumerated: 0x0a,
  sequence: 0x30,
  set: 0x31,
} as const;

/** The error for bytes that are not the DER of what is read. */
export const malformed = (what: string): DstackError => new DstackError('CODEC_INVALID', `DER bytes: ${what}`);

/** Reads items one after the other. Every method throws CODEC_INVALID when the bytes do not hold the item. */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get more(): boolean {
    return this.#at < this.#bytes.length;
  }

  /** The tag of the next item; undefined at the end. */
  peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  /** The next item, whatever it is, or with the tag that must come. */
  next(tag?: number): DerItem {
    const start = this.#at;
    const found = this.#byte();
    if (found === 0 || (found & 0x1f) === 0x1f) throw malformed(`tag 0x${found.toString(16)} is not used here`);
    if (tag !== undefined && found !== tag) {
      throw malformed(`tag 0x${found.toString(16)} instead of 0x${tag.toString(16)} at offset ${start}`);
    }
    const length = this.#length();
    if (length > this.#bytes.length - this.#at) throw malformed(`item at offset ${start} runs past the end`);
    const content = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return { tag: found, content, raw: this.#bytes.subarray(start, this.#at) };
  }

  /** A reader for the content of the next item. */
  enter(tag: number = TAG.sequence): DerReader {
    return new DerReader(this.next(tag).content);
  }

  /** The next item if it has this tag. */
  optional(tag: number): DerItem | undefined {
    return this.peek() === tag ? this.next(tag) : undefined;
  }

  /** Content octets of an INTEGER in its shortest form (X.690, 8.3.2). */
  integer(tag: number = TAG.integer): Uint8Array {
    const { content } = this.next(tag);
    const [first, second = 0] = content;
    const padded = content.length > 1 && (first === 0 ? second < 0x80 : first === 0xff && second >= 0x80);
    if (first === undefined || padded) throw malformed('an integer is not in its shortest form');
    return content;
  }

  /** An INTEGER from 0 to 2^31 - 1. */
  smallInteger(tag?: number): number {
    const content = this.integer(tag);
    if ((content[0] ?? 0) >= 0x80 || content.length > 4) throw malformed('an integer is negative or large');
    return content.reduce((value, byte) => value * 256 + byte, 0);
  }

  /** BOOLEAN DEFAULT FALSE: true, or not there. Anything else is not DER (X.690, 11.1 and 11.5). */
  flag(): boolean {
    const found = this.optional(TAG.boolean);
    if (found === undefined) return false;
    if (found.content.length !== 1 || found.content[0] !== 0xff)
      throw malformed('a boolean is neither 0xff nor absent');
    return true;
  }

  /** Dotted text of an OBJECT IDENTIFIER. */
  oid(): string {
    return oidText(this.next(TAG.oid).content);
  }

  /** A BIT STRING of whole bytes. */
  wholeBits(): Uint8Array {
    const { content } = this.next(TAG.bitString);
    if (content[0] !== 0) throw malformed('a bit string is not a whole number of bytes');
    return content.subarray(1);
  }

  /** Demands that nothing is left. */
  end(): void {
    if (this.more) throw malformed(`${this.#bytes.length - this.#at} bytes are left over`);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw malformed('they end inside an item');
    this.#at++;
    return byte;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 4) throw malformed('a length is not definite, or longer than 4 bytes');
    let length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 256 ** (count - 1)) throw malformed('a length is not in its shortest form');
    return length;
  }
}

/** Dotted text of the content of an OBJECT IDENTIFIER. @throws CODEC_INVALID when it is empty, padded or unfinished */
export function oidText(content: Uint8Array): string {
  const arcs: number[] = [];
  let value = 0;
  let inside = false;
  for (const byte of content) {
    if (!inside && byte === 0x80) throw malformed('an object identifier is padded');
    value = value * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(value)) throw malformed('an object identifier has a huge arc');
    inside = byte >= 0x80;
    if (inside) continue;
    arcs.push(value);
    value = 0;
  }
  const [head, ...rest] = arcs;
  if (head === undefined || inside) throw malformed('an object identifier is empty or not finished');
  const first = Math.min(Math.floor(head / 40), 2);
  return [first, head - 40 * first, ...rest].join('.');
}

export const isTime = (tag: number | undefined): boolean => tag === TAG.utcTime || tag === TAG.generalizedTime;

/**
 * Milliseconds of a UTCTime or GeneralizedTime in the forms RFC 5280 allows (4.1.2.5): with seconds, `Z`, and UTCTime for
 * the years 1950 to 2049. @throws CODEC_INVALID, also for a day or an hour that does not exist
 */
export function timeOf({ tag, content }: DerItem): number {
  const short = tag === TAG.utcTime;
  const text = latin1(content);
  const match = (short ? /^()(\d\d)(\d{10})Z$/ : /^(\d\d)(\d\d)(\d{10})Z$/).exec(text);
  if (!isTime(tag) || match === null) throw malformed('a time has another form than RFC 5280 allows');
  const [, century, year = '', rest = ''] = match;
  const full = `${century || (Number(year) < 50 ? '20' : '19')}${year}`;
  if (!short && Number(full) >= 1950 && Number(full) < 2050) throw malformed(`the year ${full} is not in a UTCTime`);
  const [month, day, hour, minute, second] = rest.match(/../g) ?? [];
  const iso = `${full}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const time = Date.parse(iso);
  // the parser of the runtime carries 30 February and 24:00 over into the next day
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso) throw malformed('a time does not exist');
  return time;
}

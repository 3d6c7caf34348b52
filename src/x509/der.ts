/** Reading DER (ITU-T X.690): tag, definite length in its shortest form, content. Nothing is copied or allocated ahead. */
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
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  enumerated: 0x0a,
  sequence: 0x30,
} as const;

const invalid = (what: string): DstackError => new DstackError('CODEC_INVALID', `DER bytes: ${what}`);

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
    if ((found & 0x1f) === 0x1f) throw invalid(`tag 0x${found.toString(16)} is not used here`);
    if (tag !== undefined && found !== tag) {
      throw invalid(`tag 0x${found.toString(16)} instead of 0x${tag.toString(16)} at offset ${start}`);
    }
    const length = this.#length();
    if (length > this.#bytes.length - this.#at) throw invalid(`item at offset ${start} runs past the end`);
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

  /** Demands that nothing is left. */
  end(): void {
    if (this.more) throw invalid(`${this.#bytes.length - this.#at} bytes are left over`);
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw invalid('they end inside an item');
    this.#at++;
    return byte;
  }

  #length(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    const count = first & 0x7f;
    if (count === 0 || count > 4) throw invalid('a length is not definite, or longer than 4 bytes');
    let length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + this.#byte();
    if (length < 0x80 || length < 256 ** (count - 1)) throw invalid('a length is not in its shortest form');
    return length;
  }
}

/** Dotted text of an OBJECT IDENTIFIER. */
export function oidText(content: Uint8Array): string {
  const arcs: number[] = [];
  let value = 0;
  for (const byte of content) {
    value = value * 128 + (byte & 0x7f);
    if (!Number.isSafeInteger(value)) throw invalid('an object identifier has a huge arc');
    if (byte < 0x80) {
      arcs.push(value);
      value = 0;
    }
  }
  const [head = 0, ...rest] = arcs;
  const first = Math.min(Math.floor(head / 40), 2);
  return [first, head - 40 * first, ...rest].join('.');
}

/** Milliseconds of a UTCTime or GeneralizedTime in the forms RFC 5280 allows (4.1.2.5): seconds, `Z`. */
export function timeOf({ tag, content }: DerItem): number {
  const text = Buffer.from(content).toString('latin1');
  const match = (tag === 0x17 ? /^()(\d\d)(\d{10})Z$/ : /^(\d\d)(\d\d)(\d{10})Z$/).exec(text);
  if ((tag !== 0x17 && tag !== 0x18) || match === null) throw invalid('a time has another form than RFC 5280 allows');
  const [, century, year = '', rest = ''] = match;
  const full = `${century || (Number(year) < 50 ? '20' : '19')}${year}`;
  const [month, day, hour, minute, second] = rest.match(/../g) ?? [];
  const time = Date.parse(`${full}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (Number.isNaN(time)) throw invalid('a time does not exist');
  return time;
}

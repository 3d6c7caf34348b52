/**
 * Reading MessagePack of attestations. Bytes come from the network: nothing is allocated for a promised length before its
 * elements have been seen.
 */

import { DstackError } from '../errors.ts';
import { cut } from './bytes.ts';

/** What the reader produces. Integers above 2^53 do not occur in our documents and are refused. */
export type MsgpackValue =
  | null
  | boolean
  | number
  | string
  | Uint8Array
  | MsgpackValue[]
  | { [key: string]: MsgpackValue };

const DEPTH_LIMIT = 16;
/**
 * Most values (map keys not counted) and most maps and arrays in one document. Each takes one byte of input, but a map some
 * hundred bytes of memory: without these bounds ten megabytes of empty maps would cost gigabytes. An attestation with
 * 7,000 events has 14,000 maps.
 */
const VALUE_LIMIT = 524_288;
const CONTAINER_LIMIT = 131_072;
/** Keeps a byte order mark: text must not change by being read. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const invalid = (what: string, offset: number): DstackError =>
  new DstackError('CODEC_INVALID', `msgpack bytes: ${what} at offset ${offset}`, { field: 'offset', value: offset });

/**
 * Decodes exactly one value. Maps need text keys without repetition; floats, extensions and 64-bit integers beyond the
 * safe range are refused, as are nesting deeper than 16 and documents with more than 524,288 values or 131,072 maps and
 * arrays. Memory stays proportional to the input.
 * @throws CODEC_INVALID
 */
export function decodeMsgpack(bytes: Uint8Array): MsgpackValue {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.remaining > 0) throw invalid(`${reader.remaining} bytes are left over`, bytes.length - reader.remaining);
  return value;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #values = 0;
  #containers = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  #take(size: number): number {
    if (size > this.remaining) throw invalid(`${size} bytes are needed, ${this.remaining} are left`, this.#at);
    const at = this.#at;
    this.#at += size;
    return at;
  }

  #unsigned(size: 1 | 2 | 4): number {
    const at = this.#take(size);
    if (size === 1) return this.#view.getUint8(at);
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #bin(size: number): Uint8Array {
    const at = this.#take(size);
    return cut(this.#bytes, at, at + size);
  }

  #text(size: number): string {
    const at = this.#at;
    try {
      return UTF8.decode(this.#bytes.subarray(this.#take(size), this.#at));
    } catch (thrown) {
      if (thrown instanceof DstackError) throw thrown;
      throw invalid('text is not UTF-8', at);
    }
  }

  #safe(value: bigint): number {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw invalid('integer is out of range', this.#at - 8);
    return number;
  }

  #enter(): void {
    if (++this.#containers > CONTAINER_LIMIT) throw invalid(`more than ${CONTAINER_LIMIT} maps and arrays`, this.#at);
  }

  #array(count: number, depth: number): MsgpackValue[] {
    this.#enter();
    // an element takes at least one byte: a promise beyond that is false, and nothing has been allocated for it
    if (count > this.remaining) throw invalid(`array of ${count} elements, ${this.remaining} bytes are left`, this.#at);
    const out: MsgpackValue[] = [];
    for (let index = 0; index < count; index++) out.push(this.value(depth + 1));
    return out;
  }

  #map(count: number, depth: number): { [key: string]: MsgpackValue } {
    this.#enter();
    if (2 * count > this.remaining)
      throw invalid(`map of ${count} members, ${this.remaining} bytes are left`, this.#at);
    const out: { [key: string]: MsgpackValue } = Object.create(null);
    for (let index = 0; index < count; index++) {
      const at = this.#at;
      const key = this.value(depth + 1);
      this.#values--;
      if (typeof key !== 'string') throw invalid('map key is not text', at);
      if (key in out) throw invalid('map key occurs twice', at);
      out[key] = this.value(depth + 1);
    }
    return out;
  }

  value(depth: number): MsgpackValue {
    if (depth > DEPTH_LIMIT) throw invalid(`nesting is deeper than ${DEPTH_LIMIT}`, this.#at);
    if (++this.#values > VALUE_LIMIT) throw invalid(`more than ${VALUE_LIMIT} values`, this.#at);
    const start = this.#at;
    const tag = this.#unsigned(1);
    if (tag < 0x80) return tag;
    if (tag < 0x90) return this.#map(tag & 0x0f, depth);
    if (tag < 0xa0) return this.#array(tag & 0x0f, depth);
    if (tag < 0xc0) return this.#text(tag & 0x1f);
    if (tag >= 0xe0) return tag - 0x100;
    switch (tag) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.#bin(this.#unsigned(1));
      case 0xc5:
        return this.#bin(this.#unsigned(2));
      case 0xc6:
        return this.#bin(this.#unsigned(4));
      case 0xcc:
        return this.#unsigned(1);
      case 0xcd:
        return this.#unsigned(2);
      case 0xce:
        return this.#unsigned(4);
      case 0xcf:
        return this.#safe(this.#view.getBigUint64(this.#take(8)));
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return this.#safe(this.#view.getBigInt64(this.#take(8)));
      case 0xd9:
        return this.#text(this.#unsigned(1));
      case 0xda:
        return this.#text(this.#unsigned(2));
      case 0xdb:
        return this.#text(this.#unsigned(4));
      case 0xdc:
        return this.#array(this.#unsigned(2), depth);
      case 0xdd:
        return this.#array(this.#unsigned(4), depth);
      case 0xde:
        return this.#map(this.#unsigned(2), depth);
      case 0xdf:
        return this.#map(this.#unsigned(4), depth);
      default:
        throw invalid(`type 0x${tag.toString(16)} is not used here`, start);
    }
  }
}

/**
 * CBOR (RFC 8949), the part that measurement documents use: unsigned integers, byte strings, text and maps with text keys.
 * Read and written in one form only: shortest lengths, no indefinite lengths, no tags, no key twice. The order of the keys
 * is the writer's.
 */
import { DstackError } from '../errors.ts';
import { concat, cut } from './bytes.ts';

export type CborValue = number | string | Uint8Array | CborMap;
export type CborMap = ReadonlyMap<string, CborValue>;

const MAX_DEPTH = 16;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Major types of RFC 8949, section 3.1. */
const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const MAP = 5;

/** @param value numbers must be whole and from 0 to 2^53 - 1 */
export function encodeCbor(value: CborValue): Uint8Array {
  if (typeof value === 'number') return head(UNSIGNED, value);
  if (typeof value === 'string') {
    const text = new TextEncoder().encode(value);
    return concat(head(TEXT, text.length), text);
  }
  if (value instanceof Uint8Array) return concat(head(BYTES, value.length), value);
  return concat(head(MAP, value.size), ...[...value].flatMap(([key, item]) => [encodeCbor(key), encodeCbor(item)]));
}

function head(major: number, argument: number): Uint8Array {
  const first = major << 5;
  if (argument < 24) return Uint8Array.of(first | argument);
  const size = argument <= 0xff ? 1 : argument <= 0xffff ? 2 : argument <= 0xffff_ffff ? 4 : 8;
  const out = new Uint8Array(1 + size);
  out[0] = first | (24 + Math.log2(size));
  const view = new DataView(out.buffer);
  if (size === 1) view.setUint8(1, argument);
  else if (size === 2) view.setUint16(1, argument);
  else if (size === 4) view.setUint32(1, argument);
  else view.setBigUint64(1, BigInt(argument));
  return out;
}

/** Reads one value that fills all bytes. @throws CODEC_INVALID naming the offset */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw reader.fail(`${bytes.length - reader.at} bytes behind the value`);
  return value;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  fail(what: string, at = this.at): DstackError {
    return new DstackError('CODEC_INVALID', `CBOR bytes: ${what} at offset ${at}`, { field: 'offset', value: at });
  }

  #take(size: number, what: string): number {
    const left = this.#bytes.length - this.at;
    if (size > left) throw this.fail(`${what} needs ${size} bytes, ${left} are left`);
    const at = this.at;
    this.at += size;
    return at;
  }

  value(depth: number): CborValue {
    if (depth > MAX_DEPTH) throw this.fail(`more than ${MAX_DEPTH} values inside each other`);
    const at = this.at;
    const { major, argument } = this.#head();
    if (major === UNSIGNED) return argument;
    if (major === BYTES || major === TEXT) return this.#string(major, argument);
    if (major !== MAP) throw this.fail(`major type ${major} is not supported`, at);
    const map = new Map<string, CborValue>();
    // every entry takes two bytes at least, so that a huge count ends at the end of the bytes
    for (let left = argument; left > 0; left--) {
      const keyAt = this.at;
      const key = this.value(depth + 1);
      if (typeof key !== 'string') throw this.fail('a key is not text', keyAt);
      if (map.has(key)) throw this.fail('a key occurs twice', keyAt);
      map.set(key, this.value(depth + 1));
    }
    return map;
  }

  #string(major: number, length: number): string | Uint8Array {
    const start = this.#take(length, 'string');
    const bytes = cut(this.#bytes, start, start + length);
    if (major === BYTES) return bytes;
    try {
      return UTF8.decode(bytes);
    } catch {
      throw this.fail('text is not UTF-8', start);
    }
  }

  #head(): { major: number; argument: number } {
    const at = this.#take(1, 'value');
    const first = this.#view.getUint8(at);
    const major = first >> 5;
    const low = first & 0x1f;
    if (low < 24) return { major, argument: low };
    if (low > 27) throw this.fail(`length ${low} is not supported`, at);
    const size = 2 ** (low - 24);
    const argument = this.#argument(size);
    const least = size === 1 ? 24 : 2 ** (4 * size);
    if (argument < least) throw this.fail('a number is not in its shortest form', at);
    if (!Number.isSafeInteger(argument)) throw this.fail('a number is too large', at);
    return { major, argument };
  }

  #argument(size: number): number {
    const at = this.#take(size, 'number');
    if (size === 1) return this.#view.getUint8(at);
    if (size === 2) return this.#view.getUint16(at);
    if (size === 4) return this.#view.getUint32(at);
    return Number(this.#view.getBigUint64(at));
  }
}

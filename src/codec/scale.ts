/**
 * SCALE encoding (Parity SCALE codec): little-endian numbers, compact length prefixes, no field names.
 * The reader checks every length against the bytes that are left before it allocates anything, and refuses compact
 * numbers that are not in their shortest form; scale-ts does neither.
 */

import { DstackError } from '../errors.ts';
import { cut, joinBytes } from './bytes.ts';

const invalid = (what: string, offset: number): DstackError =>
  new DstackError('CODEC_INVALID', `SCALE bytes: ${what} at offset ${offset}`, { field: 'offset', value: offset });

/**
 * Most elements of one vector. An element may take two bytes of input and some hundred bytes of memory: without this bound
 * ten megabytes of empty elements would cost gigabytes.
 */
const ELEMENT_LIMIT = 65_536;
/** Keeps a byte order mark: text must not change by being read. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads values one after the other. Every method throws CODEC_INVALID when the bytes do not hold the value. */
export class ScaleReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  #take(size: number, what: string): number {
    if (size > this.remaining) throw invalid(`${what} needs ${size} bytes, ${this.remaining} are left`, this.#at);
    const at = this.#at;
    this.#at += size;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1, 'u8'));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4, 'u32'), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8, 'u64'), true);
  }

  bool(): boolean {
    const at = this.#at;
    const value = this.u8();
    if (value > 1) throw invalid(`bool is ${value}`, at);
    return value === 1;
  }

  /** A compact number below 2^30; lengths above are refused, no document of ours comes near. */
  compact(): number {
    const at = this.#at;
    const first = this.u8();
    const mode = first & 3;
    let value: number;
    let least: number;
    if (mode === 0) return first >> 2;
    if (mode === 1) {
      value = (first | (this.u8() << 8)) >>> 2;
      least = 1 << 6;
    } else if (mode === 2) {
      const rest = this.#take(3, 'compact number');
      value = (first | (this.#view.getUint16(rest, true) << 8) | (this.#view.getUint8(rest + 2) << 24)) >>> 2;
      least = 1 << 14;
    } else {
      throw invalid('compact number is 2^30 or more', at);
    }
    if (value < least) throw invalid(`compact number ${value} is not in its shortest form`, at);
    return value;
  }

  /** `size` bytes without a prefix, copied */
  raw(size: number): Uint8Array {
    const at = this.#take(size, 'byte string');
    return cut(this.#bytes, at, at + size);
  }

  bytes(): Uint8Array {
    return this.raw(this.compact());
  }

  string(): string {
    const at = this.#at;
    try {
      const size = this.compact();
      return UTF8.decode(this.#bytes.subarray(this.#take(size, 'string'), this.#at));
    } catch (thrown) {
      if (thrown instanceof DstackError) throw thrown;
      throw invalid('string is not UTF-8', at);
    }
  }

  /** A vector of at most 65,536 elements of at least one byte each: a huge count fails before the list grows. */
  vector<T>(element: (reader: ScaleReader) => T): T[] {
    const at = this.#at;
    const count = this.compact();
    if (count > ELEMENT_LIMIT) throw invalid(`vector of ${count} elements, at most ${ELEMENT_LIMIT} are read`, at);
    if (count > this.remaining) throw invalid(`vector of ${count} elements, ${this.remaining} bytes are left`, at);
    const out: T[] = [];
    for (let index = 0; index < count; index++) out.push(element(this));
    return out;
  }

  option<T>(value: (reader: ScaleReader) => T): T | undefined {
    return this.bool() ? value(this) : undefined;
  }

  /** Everything that is left. */
  rest(): Uint8Array {
    return this.raw(this.remaining);
  }

  /** Demands that nothing is left. */
  end(): void {
    if (this.remaining > 0) throw invalid(`${this.remaining} bytes are left over`, this.#at);
  }
}

/** Collects values; `finish` joins them. */
export class ScaleWriter {
  readonly #parts: Uint8Array[] = [];

  raw(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }

  u8(value: number): this {
    return this.raw(Uint8Array.of(value));
  }

  u32(value: number): this {
    const out = new Uint8Array(4);
    new DataView(out.buffer).setUint32(0, value, true);
    return this.raw(out);
  }

  u64(value: bigint): this {
    const out = new Uint8Array(8);
    new DataView(out.buffer).setBigUint64(0, value, true);
    return this.raw(out);
  }

  bool(value: boolean): this {
    return this.u8(value ? 1 : 0);
  }

  compact(value: number): this {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** 30) {
      throw new DstackError('CODEC_INVALID', `SCALE length ${value} is not below 2^30`);
    }
    if (value < 1 << 6) return this.u8(value << 2);
    if (value < 1 << 14) return this.raw(Uint8Array.of(((value << 2) | 1) & 0xff, value >> 6));
    return this.u32(((value << 2) | 2) >>> 0);
  }

  bytes(value: Uint8Array): this {
    return this.compact(value.length).raw(value);
  }

  string(value: string): this {
    return this.bytes(new TextEncoder().encode(value));
  }

  vector<T>(values: readonly T[], element: (writer: ScaleWriter, value: T) => unknown): this {
    this.compact(values.length);
    for (const value of values) element(this, value);
    return this;
  }

  option<T>(value: T | undefined, some: (writer: ScaleWriter, value: T) => unknown): this {
    this.bool(value !== undefined);
    if (value !== undefined) some(this, value);
    return this;
  }

  finish(): Uint8Array {
    return joinBytes(this.#parts);
  }
}

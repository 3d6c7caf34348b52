/** Writing MessagePack for attestations: smallest integer forms, members in insertion order, pieces that are encoded already. */

import { DstackError } from '../errors.ts';
import { utf8Bytes } from './text.ts';

/** A value that was encoded before: its bytes are copied as they are. */
export class EncodedMsgpack {
  readonly bytes: Uint8Array;
  constructor(value: unknown) {
    this.bytes = encodeMsgpack(value);
  }
}

/** Bytes as an array of numbers, the form that some members of an attestation have. */
export class ByteNumbers {
  readonly bytes: Uint8Array;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/**
 * Encodes null, booleans, whole numbers, text, bytes, arrays and plain objects; `undefined` members are left out, other
 * `undefined` is null.
 * @throws CODEC_INVALID for anything else, numbers beyond 2^53 among it
 */
export function encodeMsgpack(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value);
  return writer.finish();
}

const FIRST_SIZE = 256;
/** tags for 1, 2 and 4 bytes of length or number; 0: there is no such form */
type Tags = readonly [number, number, number];
const UNSIGNED: Tags = [0xcc, 0xcd, 0xce];
const NEGATIVE: Tags = [0xd0, 0xd1, 0xd2];
const TEXT: Tags = [0xd9, 0xda, 0xdb];
const BINARY: Tags = [0xc4, 0xc5, 0xc6];
const ARRAY: Tags = [0, 0xdc, 0xdd];
const MAP: Tags = [0, 0xde, 0xdf];

class Writer {
  #buffer = new Uint8Array(FIRST_SIZE);
  #at = 0;

  finish(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#at));
  }

  value(value: unknown): void {
    if (typeof value === 'string') this.#text(value);
    else if (typeof value === 'number') this.#number(value);
    else if (value === null || value === undefined) this.#byte(0xc0);
    else if (typeof value === 'boolean') this.#byte(value ? 0xc3 : 0xc2);
    else if (value instanceof Uint8Array) {
      this.#head(BINARY, value.length);
      this.#raw(value);
    } else if (Array.isArray(value)) {
      this.#count(0x90, ARRAY, value.length);
      for (const item of value) this.value(item);
    } else if (value instanceof EncodedMsgpack) this.#raw(value.bytes);
    else if (value instanceof ByteNumbers) this.#numbers(value.bytes);
    else if (typeof value === 'object') this.#map(value as Record<string, unknown>);
    else throw new DstackError('CODEC_INVALID', `msgpack: a ${typeof value} cannot be written`);
  }

  /** @returns where the bytes go */
  #room(size: number): number {
    const at = this.#at;
    this.#at += size;
    if (this.#at > this.#buffer.length) {
      const larger = new Uint8Array(Math.max(this.#at, 2 * this.#buffer.length));
      larger.set(this.#buffer.subarray(0, at));
      this.#buffer = larger;
    }
    return at;
  }

  #byte(byte: number): void {
    const at = this.#room(1);
    this.#buffer[at] = byte;
  }

  #raw(bytes: Uint8Array): void {
    const at = this.#room(bytes.length);
    this.#buffer.set(bytes, at);
  }

  /** Big-endian, negative numbers in two's complement. */
  #integer(value: number, at: number, size: number): void {
    for (let i = 1; i <= size; i++) this.#buffer[at + size - i] = Math.floor(value / 256 ** (i - 1)) & 0xff;
  }

  #head([one, two, four]: Tags, size: number): void {
    if (size < 0x100 && one !== 0) {
      this.#byte(one);
      this.#byte(size);
    } else if (size < 0x10000) {
      const at = this.#room(3);
      this.#buffer[at] = two;
      this.#integer(size, at + 1, 2);
    } else {
      const at = this.#room(5);
      this.#buffer[at] = four;
      this.#integer(size, at + 1, 4);
    }
  }

  #count(fixed: number, tags: Tags, count: number): void {
    if (count < 16) this.#byte(fixed | count);
    else this.#head(tags, count);
  }

  #text(text: string): void {
    const bytes = utf8Bytes(text);
    if (bytes.length < 32) this.#byte(0xa0 | bytes.length);
    else this.#head(TEXT, bytes.length);
    this.#raw(bytes);
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value))
      throw new DstackError('CODEC_INVALID', 'msgpack: a number is not whole, or beyond 2^53', { value });
    if (value < 0) this.#negative(value);
    else if (value < 0x80) this.#byte(value);
    else if (value <= 0xffff_ffff) this.#head(UNSIGNED, value);
    else this.#wide(0xcf, value);
  }

  #negative(value: number): void {
    if (value >= -0x20) this.#byte(value & 0xff);
    else if (value >= -0x80) this.#head(NEGATIVE, value & 0xff);
    else if (value >= -0x8000) {
      const at = this.#room(3);
      this.#buffer[at] = NEGATIVE[1];
      this.#integer(value, at + 1, 2);
    } else if (value >= -0x8000_0000) {
      const at = this.#room(5);
      this.#buffer[at] = NEGATIVE[2];
      this.#integer(value, at + 1, 4);
    } else this.#wide(0xd3, value);
  }

  #wide(tag: number, value: number): void {
    const at = this.#room(9);
    this.#buffer[at] = tag;
    this.#integer(value, at + 1, 8);
  }

  #map(object: Record<string, unknown>): void {
    const members = Object.entries(object).filter(([, value]) => value !== undefined);
    this.#count(0x80, MAP, members.length);
    for (const [key, value] of members) {
      this.#text(key);
      this.value(value);
    }
  }

  /** The quote is most of an attestation: no call for each of its bytes. */
  #numbers(bytes: Uint8Array): void {
    this.#count(0x90, ARRAY, bytes.length);
    let at = this.#room(2 * bytes.length);
    const buffer = this.#buffer;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i] as number;
      if (byte >= 0x80) buffer[at++] = UNSIGNED[0];
      buffer[at++] = byte;
    }
    this.#at = at;
  }
}

/** Little-endian numbers of hostile bytes: every read is checked against their end. */

import { toHex } from '../codec/hex.ts';

export class BytesView {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #fail: (why: string) => Error;

  /** @param fail makes the error of a reason */
  constructor(bytes: Uint8Array, fail: (why: string) => Error) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fail = fail;
  }

  fail(why: string): Error {
    return this.#fail(why);
  }

  /** Refuses [at, at + size) unless it lies within the bytes. */
  need(at: number, size: number, what: string): void {
    if (at < 0 || size < 0 || at + size > this.bytes.length) {
      throw this.fail(`${what} at ${at} with ${size} bytes does not lie within the ${this.bytes.length} bytes`);
    }
  }

  u16(at: number, what: string): number {
    this.need(at, 2, what);
    return this.#view.getUint16(at, true);
  }

  u32(at: number, what: string): number {
    this.need(at, 4, what);
    return this.#view.getUint32(at, true);
  }

  /** A number below 2^52; larger ones are refused. */
  u64(at: number, what: string): number {
    this.need(at, 8, what);
    const value = this.#view.getBigUint64(at, true);
    if (value >= 1n << 52n) throw this.fail(`${what} is 0x${value.toString(16)}, which is too large`);
    return Number(value);
  }

  cut(at: number, size: number, what: string): Uint8Array {
    this.need(at, size, what);
    return this.bytes.subarray(at, at + size);
  }

  /** Whether the bytes at a place are these, given in hex. */
  holds(at: number, hex: string, what: string): boolean {
    return toHex(this.cut(at, hex.length / 2, what)) === hex;
  }
}

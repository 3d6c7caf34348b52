/**
 * A disk with a write cache that a power cut empties. What the guest has flushed, or written with FUA, is kept. Of
 * everything else a cut keeps any physical sectors, in no order, as real disks do; the choice is a function of the seed.
 */
import { Dice } from './dice.ts';

/** Smallest piece of a write: the guest's logical sector. */
const SECTOR = 512;

/** One request that changes something: a write, or a flush (no bytes). */
export interface Change {
  readonly flush: boolean;
  /** byte offset */
  readonly at: number;
  readonly bytes: Uint8Array;
  /** is on the disk when it is answered (force unit access) */
  readonly fua: boolean;
}

/** What a cut keeps of the writes that only the cache has seen. */
export type Keep = 'nothing' | 'first' | 'some' | 'most';
export const KEEP: readonly Keep[] = ['nothing', 'first', 'some', 'most'];

export class VolatileDisk {
  /** what is on the disk for good */
  #stable: Buffer;
  /** what the guest reads */
  #current: Buffer;
  #pending: Change[] = [];
  readonly #physical: number;

  /** @param physical bytes that the disk writes as a whole or not at all: 512, or 4096 as most disks of today */
  constructor(size: number, physical = SECTOR) {
    this.#physical = physical;
    this.#stable = Buffer.alloc(size);
    this.#current = Buffer.alloc(size);
  }

  get size(): number {
    return this.#stable.length;
  }

  /** Bytes that only the cache holds. */
  get unflushed(): number {
    return this.#pending.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Makes the disk larger, as a host does while the machine is off. */
  enlarge(bytes: number): void {
    this.#stable = Buffer.concat([this.#stable, Buffer.alloc(bytes)]);
    this.#current = Buffer.from(this.#stable);
  }

  /** A copy, as the guest reads it. */
  read(at: number, length: number): Buffer {
    return Buffer.from(this.#current.subarray(at, at + length));
  }

  apply(change: Change): void {
    if (change.flush) {
      for (const { at, bytes } of this.#pending) this.#stable.set(bytes, at);
      this.#pending = [];
      return;
    }
    this.#current.set(change.bytes, change.at);
    this.#pending.push(change); // one with FUA too: an older write of the cache must not come after it
  }

  /** The power is gone: decides what of the cache stays. @returns bytes that were lost */
  cut(seed: number, keep: Keep): number {
    const dice = new Dice(seed);
    const first = keep === 'first' ? dice.below(this.#pending.length + 1) : 0;
    const percent = { nothing: 0, first: 0, some: 50, most: 90 }[keep];
    let lost = 0;
    this.#pending.forEach(({ at, bytes, fua }, number) => {
      let keeps = false;
      for (let i = 0; i < bytes.length; i += SECTOR) {
        if (i === 0 || (at + i) % this.#physical === 0) keeps = fua || number < first || dice.below(100) < percent;
        if (keeps) this.#stable.set(bytes.subarray(i, i + SECTOR), at + i);
        else lost += Math.min(SECTOR, bytes.length - i);
      }
    });
    this.#pending = [];
    this.#current = Buffer.from(this.#stable);
    return lost;
  }
}

/** Memory for request bodies: one sum for a whole server, of which each request reserves its part before it is used. */
import { DstackError } from '../errors.ts';

/** @param what is used up */
export const busy = (what: string): DstackError => new DstackError('RPC_BUSY', `the agent is busy: ${what}`);

export class BodyMemory {
  readonly #limit: number;
  #held = 0;

  /** @param limit bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes that are reserved now. */
  get held(): number {
    return this.#held;
  }

  /** @returns false when there is not so much left: nothing is reserved then */
  reserve(bytes: number): boolean {
    if (this.#held + bytes > this.#limit) return false;
    this.#held += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#held -= bytes;
  }
}

/** What one request holds of it. */
export class Reservation {
  readonly #memory: BodyMemory;
  #bytes = 0;

  constructor(memory: BodyMemory) {
    this.#memory = memory;
  }

  /** Reserves more. @throws RPC_BUSY when there is none left; what was reserved before stays */
  grow(bytes: number): void {
    if (!this.#memory.reserve(bytes)) throw busy('its memory for request bodies is used up');
    this.#bytes += bytes;
  }

  /** Gives everything back; a second call does nothing. */
  release(): void {
    this.#memory.release(this.#bytes);
    this.#bytes = 0;
  }
}

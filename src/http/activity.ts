/** What a connection is doing, since when, and whether the other side has used up its time. */
import type { HttpLimits } from './limits.ts';

/** for the other side to take the last bytes and to close, at least */
const ENDING_MS = 1000;

export type ConnectionPhase = 'waiting' | 'receiving' | 'working' | 'sending' | 'streaming' | 'lingering' | 'ending';

export class Activity {
  #phase: ConnectionPhase = 'waiting';
  /** when the phase began, and when the last byte came; milliseconds of performance.now() */
  #since = performance.now();
  #heard = this.#since;

  get phase(): ConnectionPhase {
    return this.#phase;
  }

  /** When the other side was last heard, milliseconds of performance.now(). */
  get heard(): number {
    return this.#heard;
  }

  /** A request is being served: not to be cut off without need. */
  get busy(): boolean {
    return this.#phase === 'working' || this.#phase === 'sending' || this.#phase === 'streaming';
  }

  enter(phase: ConnectionPhase): void {
    this.#phase = phase;
    this.#since = performance.now();
    if (phase === 'waiting') this.#heard = this.#since; // its time to ask again begins with our response
  }

  /** A byte came. */
  hear(): void {
    this.#heard = performance.now();
  }

  /** How long a response takes is not the client's fault: while a handler works, and while a stream goes on, no time runs out. */
  expired(now: number, { idle, request, linger }: HttpLimits): boolean {
    const age = now - this.#since;
    const silence = now - this.#heard;
    if (this.#phase === 'waiting') return silence > (idle || request);
    if (this.#phase === 'receiving') return age > request || silence > (idle || request);
    if (this.#phase === 'sending') return age > request;
    if (this.#phase === 'lingering') return age > linger;
    return this.#phase === 'ending' && age > Math.max(linger, ENDING_MS);
  }
}

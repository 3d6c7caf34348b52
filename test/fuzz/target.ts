/** What a fuzz target is: one reader of hostile bytes, with everything the driver needs to try it. */
import { DstackError } from '../../src/errors.ts';

export interface FuzzTarget {
  /** longest input in bytes that is tried */
  readonly limit: number;
  /** byte strings that mean something to the reader */
  readonly dictionary: readonly (string | Uint8Array)[];
  /**
   * Reads one input. A DstackError is a good answer; anything else that is thrown, and any result that contradicts
   * itself (the target throws an ordinary Error then), is a finding.
   */
  readonly run: (input: Uint8Array) => void | Promise<void>;
}

/** Most processor time one input may take, and most memory it may hold on to beside its own size. */
export const TIME_LIMIT_MS = 500;
export const MEMORY_LIMIT = 128 * 1024 * 1024;

/** The DstackError an input ends with, undefined when it is accepted. Anything else is thrown on: a finding. */
export async function outcome(target: FuzzTarget, input: Uint8Array): Promise<DstackError | undefined> {
  try {
    await target.run(input);
    return undefined;
  } catch (thrown) {
    if (thrown instanceof DstackError || (thrown as Error | undefined)?.name === 'DstackError') {
      return thrown as DstackError;
    }
    throw thrown;
  }
}

/** For targets: two results that must be the same. */
export function same(what: string, a: unknown, b: unknown): void {
  const [left, right] = [text(a), text(b)];
  if (left !== right) throw new Error(`${what}: ${left.slice(0, 200)} is not ${right.slice(0, 200)}`);
}

const text = (value: unknown): string =>
  JSON.stringify(value, function (this: Record<string, unknown>, key, item: unknown) {
    const raw = this[key]; // a Buffer has become an object of numbers already
    if (raw instanceof Uint8Array) return Buffer.from(raw).toString('hex');
    return typeof item === 'bigint' ? `${item}n` : item;
  }) ?? 'undefined';

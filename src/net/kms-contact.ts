/**
 * How the last call to a KMS ended, as far as it is known without asking the KMS: guests call it when they need a
 * certificate and at no other time.
 */
import { type ErrorCode, toDstackError } from '../errors.ts';

export interface KmsContact {
  /** Unix seconds of the last call */
  readonly at: number;
  /** how it ended: `ok`, or the code of the error */
  readonly outcome: 'ok' | ErrorCode;
  /** Unix seconds of the last call that succeeded */
  readonly succeededAt: number | undefined;
}

/** Is told the end of each call: nothing, or what it threw. */
export type KmsObserver = (thrown?: unknown) => void;

/** What is known after one more call. @param now Unix seconds */
export function afterCall(before: KmsContact | undefined, now: number, thrown?: unknown): KmsContact {
  if (thrown === undefined) return { at: now, outcome: 'ok', succeededAt: now };
  return { at: now, outcome: toDstackError(thrown).code, succeededAt: before?.succeededAt };
}

/** Calls the KMS and tells the observer how that ended. @throws what the call throws */
export async function observed<T>(call: () => Promise<T>, tell: KmsObserver | undefined): Promise<T> {
  try {
    const answer = await call();
    tell?.();
    return answer;
  } catch (thrown) {
    tell?.(thrown);
    throw thrown;
  }
}

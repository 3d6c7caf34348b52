/** For tests that look at an error: the DstackError that `work` throws (or a promise rejects with), or a failed test. */
import { expect } from 'vitest';
import { DstackError } from '../src/errors.ts';

export function failure(work: () => unknown): DstackError {
  try {
    work();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(DstackError);
    return thrown as DstackError;
  }
  throw new Error('nothing was thrown');
}

export async function rejection(promise: Promise<unknown>): Promise<DstackError> {
  const thrown = await promise.then(
    () => new Error('nothing was thrown'),
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(DstackError);
  return thrown as DstackError;
}

/** Waiting with an end. */
import { DstackError, type ErrorCode } from '../../errors.ts';
import { duration } from '../../ui.ts';

/**
 * The result of `work`, if it comes in time. What comes too late is dropped.
 * @throws what the work throws; `code`, naming `who`, when the time is over
 */
export async function withTimeout<T>(
  timeoutMs: number,
  code: ErrorCode,
  who: string,
  work: () => Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new DstackError(code, `${who} did not answer within ${duration(timeoutMs)}`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}

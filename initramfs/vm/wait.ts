/** Waiting with a limit. */

export class TimeoutError extends Error {}

/** `promise`, or a TimeoutError that says what was waited for. */
export async function within<T>(milliseconds: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TimeoutError(`${what}: nothing within ${(milliseconds / 1000).toFixed(0)} s`));
    }, milliseconds);
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** Repeats `attempt` until it returns a value or the limit is reached; the last failure becomes the cause. */
export async function retry<T>(
  what: string,
  attempt: () => Promise<T | undefined>,
  options: { timeoutMs: number; pauseMs?: number; abandon?: () => string | undefined },
): Promise<T> {
  const end = performance.now() + options.timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await attempt();
      if (value !== undefined) return value;
    } catch (thrown) {
      last = thrown;
    }
    const abandoned = options.abandon?.();
    if (abandoned !== undefined) throw new Error(`${what}: ${abandoned}`, { cause: last });
    if (performance.now() > end) {
      throw new TimeoutError(`${what}: not within ${(options.timeoutMs / 1000).toFixed(0)} s`, { cause: last });
    }
    await new Promise((resolve) => setTimeout(resolve, options.pauseMs ?? 200));
  }
}

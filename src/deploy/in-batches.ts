/** Work over many small files: some at a time, because each waits for the disk, and not all, because each holds memory. */

const AT_A_TIME = 24;

/** Results in the order of the items. The first failure ends it; what has begun by then is awaited. */
export async function inBatches<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += AT_A_TIME) {
    const batch = await Promise.allSettled(items.slice(at, at + AT_A_TIME).map(work));
    for (const outcome of batch) {
      if (outcome.status === 'rejected') throw outcome.reason;
      results.push(outcome.value);
    }
  }
  return results;
}

/**
 * Runs tasks at the same time and waits until every one has ended, also when one fails: nothing is left running behind an
 * error. Throws the error of the first failed task in the order of the list.
 */
export async function allSettledOrThrow<T>(tasks: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(tasks);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

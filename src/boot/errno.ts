/** The errno name (`EROFS`, `ENOENT`, ...) of the first system error in a cause chain, or undefined. */
export function findErrno(thrown: unknown): string | undefined {
  for (let current = thrown, depth = 0; current instanceof Error && depth < 16; current = current.cause, depth++) {
    const { code, errno } = current as NodeJS.ErrnoException;
    if (typeof errno === 'number' && typeof code === 'string') return code;
  }
  return undefined;
}

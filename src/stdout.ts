/**
 * What becomes of a command whose standard output takes no more. A reader that has gone (`| head`) is not an error: the
 * command ends without a word, with the status that a shell gives to SIGPIPE. Anything else, such as a full disk behind a
 * redirection, is told like any failure.
 *
 * Nothing is ended in the middle: a disk that is being formatted is finished also when nobody reads the result.
 */

/** 128 + SIGPIPE, as a shell shows a program that the signal ended */
export const READER_GONE = 141;

/** Looks after writes that nobody waits for; without it the runtime ends with a stack trace. */
export function guardStdout(): void {
  process.stdout.on('error', async (failure: Error) => {
    process.exitCode = await statusOf(failure);
  });
  process.stderr.on('error', () => {}); // nobody is left to be told
}

let told: Promise<number> | undefined;

/** Tells about the first failed write, once, and returns the exit status of the program. */
export function statusOf(failure: unknown): Promise<number> {
  told ??=
    (failure as NodeJS.ErrnoException | undefined)?.code === 'EPIPE' ? Promise.resolve(READER_GONE) : tell(failure);
  return told;
}

async function tell(cause: unknown): Promise<number> {
  const [{ DstackError }, { reportFailure }] = await Promise.all([import('./errors.ts'), import('./ui.ts')]);
  return reportFailure(
    new DstackError('FILE_IO', 'cannot write to standard output', { path: 'standard output', cause }),
  );
}

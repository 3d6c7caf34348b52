/** The dry run of a command. */

/**
 * From here on changes are described, a line each, instead of made: on standard output, and with `json`, where that holds
 * one document, on standard error.
 */
export async function dryRun({ json }: { readonly json?: boolean | undefined }): Promise<void> {
  const { startDryRun } = await import('../sys/effects.ts');
  startDryRun((line) => (json ? process.stderr : process.stdout).write(`${line}\n`));
}

/** `dstack-util rand`: random bytes of the kernel's generator. */
import type { Command } from 'commander';

interface Options {
  bytes: number;
  output?: string;
  hex?: boolean;
}

const MAX_BYTES = 64 * 1024 * 1024;

export default function define(command: Command): void {
  command
    .option('-n, --bytes <number>', 'how many bytes', parseCount, 20)
    .option('-o, --output <file>', 'write to this file (mode 0600, replaced atomically) instead of standard output')
    .option('-x, --hex', 'write hex text without a newline')
    .action(async ({ bytes, output, hex }: Options) => {
      if (!Number.isSafeInteger(bytes)) {
        const { DstackError } = await import('../errors.ts');
        throw new DstackError('USAGE', `--bytes must be a whole number from 0 to ${MAX_BYTES}`, { field: '--bytes' });
      }
      const [{ randomBytes }, { writeAtomic, wipe }, ui] = await Promise.all([
        import('node:crypto'),
        import('../sys/files.ts'),
        import('../ui.ts'),
      ]);
      const random = randomBytes(bytes);
      const data = hex ? random.toString('hex') : random;
      if (output === undefined) await ui.output(data);
      else await writeAtomic(output, data, 0o600);
      wipe(random);
    });
}

/** NaN for anything that is not a count in range: refused in the action, where the error type is at hand. */
function parseCount(text: string): number {
  const count = /^[0-9]{1,9}$/.test(text) ? Number(text) : Number.NaN;
  return count <= MAX_BYTES ? count : Number.NaN;
}

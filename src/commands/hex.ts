/** `dstack-util hex`: bytes as lower-case hex, without a newline. */
import type { Command } from 'commander';

export default function define(command: Command): void {
  command.argument('[file]', 'file to read (default: standard input)').action(async (file: string | undefined) => {
    const [{ createReadStream }, { DstackError }, ui] = await Promise.all([
      import('node:fs'),
      import('../errors.ts'),
      import('../ui.ts'),
    ]);
    const input = file === undefined ? process.stdin : createReadStream(file);
    try {
      for await (const chunk of input) await ui.output((chunk as Buffer).toString('hex'));
    } catch (thrown) {
      if (thrown instanceof ui.StdoutFailed) throw thrown;
      const code = (thrown as NodeJS.ErrnoException).code === 'ENOENT' ? 'FILE_NOT_FOUND' : 'FILE_IO';
      const path = file ?? 'standard input';
      throw new DstackError(code, `cannot read ${path}`, { path, cause: thrown });
    }
  });
}

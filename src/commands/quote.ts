/** `quote`: 64 bytes of report data on stdin, the raw quote on stdout. */
import type { Command } from 'commander';
import { DstackError } from '../errors.ts';
import { readStdin } from '../sys/stdin.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';

const REPORT_DATA_SIZE = 64;

export default function define(command: Command): void {
  command
    .usage('< REPORT_DATA > QUOTE')
    .addHelpText(
      'after',
      '\nReads exactly 64 bytes of report data from stdin and writes the quote as raw bytes to stdout.',
    )
    .action(async () => {
      const reportData = await readReportData();
      const { takeQuote } = await import('../tdx/quote.ts');
      const { detectTee } = await import('../tdx/platform.ts');
      detectTee(realTdxMachine);
      await ui.output(await takeQuote(reportData, realTdxMachine));
    });
}

/** @throws INPUT_INVALID for any other length */
async function readReportData(): Promise<Uint8Array> {
  const bytes = await readStdin(REPORT_DATA_SIZE);
  if (bytes.length !== REPORT_DATA_SIZE) {
    const found = bytes.length > REPORT_DATA_SIZE ? `more than ${REPORT_DATA_SIZE}` : `${bytes.length}`;
    throw new DstackError('INPUT_INVALID', `stdin has ${found} bytes, exactly ${REPORT_DATA_SIZE} are needed`, {
      field: 'stdin',
      hint: 'pad shorter report data with zero bytes, or hash it with SHA-512',
    });
  }
  return bytes;
}

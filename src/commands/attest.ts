/** `attest`: takes a fresh attestation and writes its versioned bytes. */
import type { Command } from 'commander';
import { fromHex, toHex } from '../codec/hex.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';

interface Options {
  readonly reportData: string;
  readonly appId?: string;
  readonly output?: string;
  readonly hex?: boolean;
}

const DEFAULT_FILE = 'attestation.bin';

export default function define(command: Command): void {
  command
    .option('--report-data <hex>', 'report data of the quote: up to 64 bytes, padded with zero bytes', '')
    .option('--app-id <hex>', '20 bytes; checked, but without effect on TDX, where the app id is measured')
    .option('-o, --output <file>', `file to write (default: ${DEFAULT_FILE}, with --hex standard output)`)
    .option('--hex', 'write hex text instead of bytes')
    .action(async (options: Options) => {
      const { padReportData } = await import('../tdx/report.ts');
      const reportData = padReportData(fromHex(options.reportData, { field: '--report-data', prefix: true }));
      if (options.appId !== undefined) fromHex(options.appId, { field: '--app-id', prefix: true, length: 20 });
      const { takeAttestation } = await import('../tdx/take-evidence.ts');
      const { encodeVersioned } = await import('../tdx/attestation.ts');
      const bytes = encodeVersioned(await takeAttestation(reportData, realTdxMachine));
      const file = options.output ?? (options.hex ? undefined : DEFAULT_FILE);
      if (file === undefined) {
        await ui.output(`${toHex(bytes)}\n`);
        return;
      }
      const { writeAtomic } = await import('../sys/files.ts');
      await writeAtomic(file, options.hex ? toHex(bytes) : bytes, 0o644);
      ui.info(`wrote an attestation of ${bytes.length} bytes to ${file}`);
    });
}

/** `quote-report`: a fresh attestation as the JSON request that the verifier service takes. */
import type { Command } from 'commander';
import { fromHex, toHex } from '../codec/hex.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';

interface Options {
  readonly reportData: string;
  readonly sysConfig?: string;
  readonly output?: string;
  readonly debug?: boolean;
}

export default function define(command: Command): void {
  command
    .option('--report-data <hex>', 'report data of the quote: up to 64 bytes, padded with zero bytes', '')
    .option(
      '--sys-config <file>',
      'system configuration whose vm_config goes with the quote (default: .sys-config.json of the host share)',
    )
    .option('-o, --output <file>', 'file to write (default: standard output)')
    .option('--debug', 'print on stderr what is reported')
    .option('--json', 'accepted, without effect: the output is always JSON')
    .action(async (options: Options) => {
      const { padReportData } = await import('../tdx/report.ts');
      const reportData = padReportData(fromHex(options.reportData, { field: '--report-data', prefix: true }));
      const { takeAttestation, vmConfigOfFile } = await import('../tdx/take-evidence.ts');
      const { encodeVersioned, naturalForm } = await import('../tdx/attestation.ts');
      // a file that was named must be there; the default one may be missing, as for every other quote
      const config = options.sysConfig === undefined ? {} : { config: await vmConfigOfFile(options.sysConfig) };
      const attestation = await takeAttestation(reportData, { ...realTdxMachine, ...config });
      if (options.debug) {
        ui.info(`attestation of form ${naturalForm(attestation)} for report data ${toHex(reportData)}`);
      }
      const text = `${JSON.stringify({ attestation: toHex(encodeVersioned(attestation)) }, null, 2)}\n`;
      if (options.output === undefined) {
        await ui.output(text);
        return;
      }
      const { writeAtomic } = await import('../sys/files.ts');
      await writeAtomic(options.output, text, 0o644);
    });
}

/** `attest-json`: the content of an attestation file as JSON. */
import type { Command } from 'commander';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command
    .option('-i, --input <file>', 'versioned attestation, bytes or hex text', 'attestation.bin')
    .option('-o, --output <file>', 'file to write (default: standard output)')
    .option('--json', 'accepted, without effect: the output is always JSON')
    .action(async ({ input, output }: { input: string; output?: string }) => {
      const { attestationJson, readAttestationFile } = await import('../tdx/attestation-view.ts');
      const text = `${ui.json(attestationJson(await readAttestationFile(input)))}\n`;
      if (output === undefined) {
        await ui.output(text);
        return;
      }
      const { writeAtomic } = await import('../sys/files.ts');
      await writeAtomic(output, text, 0o644);
    });
}

/** `attest-strip`: the form of an attestation that goes into certificates, with a shorter event log. */
import type { Command } from 'commander';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command
    .option('-i, --input <file>', 'versioned attestation, bytes or hex text', 'attestation.bin')
    .option('-o, --output <file>', 'file to write', 'attestation.strip.bin')
    .action(async ({ input, output }: { input: string; output: string }) => {
      const { readAttestationFile } = await import('../tdx/attestation-view.ts');
      const { encodeVersioned, strip } = await import('../tdx/attestation.ts');
      const { writeAtomic } = await import('../sys/files.ts');
      const { form, attestation, bytes } = await readAttestationFile(input);
      const stripped = encodeVersioned(strip(attestation), form);
      await writeAtomic(output, stripped, 0o644);
      ui.info(`wrote ${stripped.length} of ${bytes.length} bytes to ${output}`);
    });
}

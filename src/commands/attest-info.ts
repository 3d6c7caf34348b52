/** `attest-info`: what an attestation file is made of. */
import type { Command } from 'commander';
import * as ui from '../ui.ts';

export default function define(command: Command): void {
  command
    .option('-i, --input <file>', 'versioned attestation, bytes or hex text', 'attestation.bin')
    .option('--json', 'print JSON instead of text')
    .action(async ({ input, json }: { input: string; json?: boolean }) => {
      const { attestationInfo, readAttestationFile } = await import('../tdx/attestation-view.ts');
      const info: Record<string, string | number> = {
        file: input,
        ...attestationInfo(await readAttestationFile(input)),
      };
      // `version` is that of the JSON, as in every result
      const { version: attestationVersion, ...rest } = info;
      ui.result(
        { attestationVersion, ...rest },
        {
          json,
          text: () => Object.entries(info).map(([name, value]) => `${name}: ${value}`),
        },
      );
    });
}

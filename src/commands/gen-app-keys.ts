/** `gen-app-keys`: a key file with random keys, as provider none makes them in a boot. */
import type { Command } from 'commander';
import { realTdxMachine } from '../tdx/tdx-machine.ts';

interface Options {
  output: string;
  caLevel: string;
  evidence: boolean;
}

export default function define(command: Command): void {
  command
    .requiredOption('-o, --output <file>', 'where the key file goes (mode 0600, replaced atomically)')
    .option('--ca-level <number>', 'how many CAs may stand below the CA of the app', '1')
    .option('--no-evidence', 'make the CA certificate without evidence: works outside of a TEE, proves nothing')
    .action(async ({ output, caLevel, evidence }: Options) => {
      const [{ generateAppKeys, parseCaLevel }, { formatAppKeys, wipeAppKeys }, { writeAtomic }, tdx] =
        await Promise.all([
          import('../keys/generate.ts'),
          import('../config/app-keys.ts'),
          import('../sys/files.ts'),
          import('../tdx/take-evidence.ts'),
        ]);
      const level = parseCaLevel(caLevel);
      const keys = await generateAppKeys(
        level,
        evidence ? (data) => tdx.certificateEvidence(data, realTdxMachine) : undefined,
      );
      try {
        await writeAtomic(output, formatAppKeys(keys), 0o600);
      } finally {
        wipeAppKeys(keys);
      }
    });
}

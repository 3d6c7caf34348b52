/** `gen-ca-cert`: a self-signed certificate authority whose key was made in this guest, as its evidence says. */
import type { Command } from 'commander';
import { realTdxMachine } from '../tdx/tdx-machine.ts';

interface Options {
  cert: string;
  key: string;
  caLevel: string;
}

export default function define(command: Command): void {
  command
    .requiredOption('--cert <file>', 'where the certificate goes (replaced atomically)')
    .requiredOption('--key <file>', 'where the new private key goes (mode 0600, replaced atomically)')
    .option('--ca-level <number>', 'how many CAs may stand below it', '1')
    .action(async ({ cert, key, caLevel }: Options) => {
      const [{ generateCa, parseCaLevel }, { writeKeyPair }, { certificateEvidence }] = await Promise.all([
        import('../keys/generate.ts'),
        import('../keys/key-pair-files.ts'),
        import('../tdx/take-evidence.ts'),
      ]);
      const level = parseCaLevel(caLevel);
      await writeKeyPair(await generateCa(level, (data) => certificateEvidence(data, realTdxMachine)), cert, key);
    });
}

/** `gen-ra-cert`: the temporary certificate with which a guest shows itself to a KMS. */
import type { Command } from 'commander';
import { realTdxMachine } from '../tdx/tdx-machine.ts';

interface Options {
  caCert: string;
  caKey: string;
  certPath: string;
  keyPath: string;
}

const PEM_LIMIT = 1024 * 1024;

export default function define(command: Command): void {
  command
    .requiredOption('--ca-cert <file>', 'certificate of the signing CA (PEM)')
    .requiredOption('--ca-key <file>', 'private key of the signing CA (PEM)')
    .requiredOption('-c, --cert-path <file>', 'where the certificate goes (replaced atomically)')
    .requiredOption('-k, --key-path <file>', 'where the new private key goes (mode 0600, replaced atomically)')
    .action(async ({ caCert, caKey, certPath, keyPath }: Options) => {
      const [{ writeKeyPair }, { readLimited, utf8, wipe }, { tempCertificate }, { certificateEvidence }] =
        await Promise.all([
          import('../keys/key-pair-files.ts'),
          import('../sys/files.ts'),
          import('../keys/temp-cert.ts'),
          import('../tdx/take-evidence.ts'),
        ]);
      const certificate = utf8(await readLimited(caCert, PEM_LIMIT), caCert);
      const raw = await readLimited(caKey, PEM_LIMIT);
      const key = utf8(raw, caKey);
      wipe(raw);
      const made = await tempCertificate({ certificate, key }, (data) => certificateEvidence(data, realTdxMachine));
      await writeKeyPair(made, certPath, keyPath);
    });
}

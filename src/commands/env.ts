/** `env`: makes and tests the encrypted environment of an app. Values come from stdin or a 0600 file and are never shown. */
import type { Command } from 'commander';
import type { EnvSource } from '../config/env-check.ts';
import type { RecipientOptions } from '../keys/env-recipient.ts';
import * as ui from '../ui.ts';

interface Encrypt extends EnvSource, RecipientOptions {
  readonly json?: boolean;
  readonly output?: string;
}

interface Check extends EnvSource {
  readonly json?: boolean;
}

function report(variables: Map<string, string>, extra: Record<string, unknown>, json: boolean | undefined): void {
  const list = [...variables].map(([key, value]) => ({ key, bytes: Buffer.byteLength(value) }));
  const text = () => list.map(({ key, bytes }) => `${key}  ${bytes} bytes`);
  ui.result({ ...extra, variables: list }, { json, text });
}

async function encrypt(options: Encrypt): Promise<void> {
  const { checkPlainEnv } = await import('../config/env-check.ts');
  const { sealEnvBlob } = await import('../config/env-cipher.ts');
  const { envRecipient } = await import('../keys/env-recipient.ts');
  const { wipe, writeAtomic } = await import('../sys/files.ts');
  const publicKey = await envRecipient(options);
  const { document, variables } = await checkPlainEnv(options);
  const blob = sealEnvBlob(document, publicKey);
  wipe(document);
  if (options.output === undefined && options.json) {
    report(variables, { file: null, bytes: blob.length, encrypted: Buffer.from(blob).toString('hex') }, true);
    return;
  }
  if (options.output === undefined) {
    // hex, as the VMM's interface and the SDK have it
    process.stdout.write(`${Buffer.from(blob).toString('hex')}\n`);
    return;
  }
  await writeAtomic(options.output, blob, 0o600);
  report(variables, { file: options.output, bytes: blob.length }, options.json);
}

async function check(options: Check): Promise<void> {
  const { checkEncryptedEnv, checkPlainEnv } = await import('../config/env-check.ts');
  if (options.encrypted === undefined) {
    const { document, variables } = await checkPlainEnv(options);
    (await import('../sys/files.ts')).wipe(document);
    return report(variables, {}, options.json);
  }
  const { variables, bytes } = await checkEncryptedEnv(options.encrypted, options);
  report(variables, { bytes }, options.json);
}

export default function define(command: Command): void {
  command.helpCommand(false);
  const sub = (name: string, summary: string) =>
    command
      .command(name)
      .description(summary)
      .option('--env <file>', 'KEY=value lines or {"env":[{"key","value"}]}, mode 0600 (default: stdin)')
      .option('--app-compose <file>', 'refuse names that are missing in its allowed_envs')
      .option('--json', 'print the result as JSON');
  sub('encrypt', 'encrypt variables for one app')
    .option('--kms-answer <file>', 'answer of the KMS method GetAppEnvEncryptPubKey, JSON')
    .option('--app-id <hex>', 'app the key must be signed for')
    .option('--signer <hex>', 'public key of the KMS that you trust, 33 bytes')
    .option('--max-age <seconds>', 'oldest accepted signature', '300')
    .option('--public-key <hex>', 'encrypt for this X25519 key')
    .option('--trust-key', 'do not verify who signed the key')
    .option('-o, --output <file>', 'write the bytes of .encrypted-env (default: hex on stdout)')
    .addHelpText(
      'after',
      '\nThe key of the app comes from its KMS:\n' +
        '  curl -k -d \'{"app_id":"<hex>"}\' \'https://<kms>/prpc/GetAppEnvEncryptPubKey?json\' > answer.json\n' +
        'It is the signature of the answer that counts (--signer), not the connection it came through.',
    )
    .action(encrypt);
  sub('check', 'check variables, or an encrypted file, as a guest does')
    .option('--encrypted <file>', 'an .encrypted-env file')
    .option('--keys <file>', 'the .appkeys.json whose key opens the encrypted file')
    .addHelpText(
      'after',
      '\nThree different failures: ENV_DECRYPT_FAILED (another key), ENV_NOT_ALLOWED (allowed_envs lacks a name),\n' +
        'ENV_MALFORMED (a rule of the document is broken). Names and sizes are shown, values never.',
    )
    .action(check);
}

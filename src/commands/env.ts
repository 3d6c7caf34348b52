/** `env`: makes and tests the encrypted environment of an app. Values come from stdin or a 0600 file and are never shown. */
import type { Command } from 'commander';
import type { EnvVariable } from '../config/env-text.ts';
import * as ui from '../ui.ts';

interface Input {
  readonly env?: string;
  readonly appCompose?: string;
  readonly json?: boolean;
}

interface Encrypt extends Input {
  readonly publicKey?: string;
  readonly kmsAnswer?: string;
  readonly appId?: string;
  readonly signer?: string;
  readonly maxAge: string;
  readonly trustKey?: boolean;
  readonly output?: string;
}

interface Check extends Input {
  readonly encrypted?: string;
  readonly keys?: string;
}

/** more than the largest legal environment, escaped as JSON at its worst */
const LIMIT = 8 * 1024 * 1024;

/** The plain variables from the file or stdin. */
async function readVariables({ env }: Input): Promise<EnvVariable[]> {
  const { parseEnvText } = await import('../config/env-text.ts');
  const { readSecretFile, wipe } = await import('../sys/files.ts');
  const { readStdin } = await import('../sys/stdin.ts');
  const raw = env === undefined ? await readStdin(LIMIT) : await readSecretFile(env, LIMIT);
  try {
    return parseEnvText(raw, env ?? 'stdin');
  } finally {
    wipe(raw);
  }
}

async function allowedEnvs({ appCompose }: Input): Promise<readonly string[] | undefined> {
  if (appCompose === undefined) return undefined;
  const { readAppCompose } = await import('../config/app-compose.ts');
  return (await readAppCompose(appCompose)).allowedEnvs;
}

/** Judges the document as a guest does, but refuses what a guest would skip. */
async function judge(document: Uint8Array, allowed: readonly string[] | undefined): Promise<Map<string, string>> {
  const { envNotAllowed } = await import('../config/encrypted-env.ts');
  const { envDocumentNames, readEnvDocument } = await import('../config/env-document.ts');
  return readEnvDocument(document, allowed ?? envDocumentNames(document), (key) => {
    throw envNotAllowed(key);
  });
}

function report(variables: Map<string, string>, extra: Record<string, unknown>, options: Input): void {
  const list = [...variables].map(([key, value]) => ({ key, bytes: Buffer.byteLength(value) }));
  const text = () => (list.length === 0 ? ['no variables'] : list.map(({ key, bytes }) => `${key}  ${bytes} bytes`));
  ui.result({ ...extra, variables: list }, { json: options.json, text });
}

async function encrypt(options: Encrypt): Promise<void> {
  const { sealEnvBlob } = await import('../config/env-cipher.ts');
  const { formatEnvDocument } = await import('../config/env-text.ts');
  const { wipe, writeAtomic } = await import('../sys/files.ts');
  const publicKey = await recipient(options);
  const document = formatEnvDocument(await readVariables(options));
  const variables = await judge(document, await allowedEnvs(options));
  const blob = sealEnvBlob(document, publicKey);
  wipe(document);
  if (options.output === undefined) {
    // hex, as the VMM's interface and the SDK have it
    process.stdout.write(`${Buffer.from(blob).toString('hex')}\n`);
    return;
  }
  await writeAtomic(options.output, blob, 0o600);
  report(variables, { file: options.output, bytes: blob.length }, options);
}

/** The key to encrypt for; without a valid signature of the KMS only when the caller insists. */
async function recipient(options: Encrypt): Promise<Uint8Array> {
  const { fromHex } = await import('../codec/hex.ts');
  const { DstackError } = await import('../errors.ts');
  const usage = (message: string, field: string) => new DstackError('INPUT_INVALID', message, { field });
  if ((options.publicKey === undefined) === (options.kmsAnswer === undefined)) {
    throw usage('give either --kms-answer or --public-key', '--kms-answer');
  }
  if (options.publicKey !== undefined) {
    if (!options.trustKey) throw usage('a bare --public-key is nobody’s word: add --trust-key', '--trust-key');
    return fromHex(options.publicKey, { field: '--public-key', prefix: true, length: 32 });
  }
  const { parseEnvKeyAnswer } = await import('../config/env-key-answer.ts');
  const { readLimited } = await import('../sys/files.ts');
  const path = options.kmsAnswer ?? '';
  const signed = parseEnvKeyAnswer(await readLimited(path, 64 * 1024), path);
  if (options.trustKey) return signed.publicKey;
  if (options.signer === undefined || options.appId === undefined) {
    throw usage('--signer and --app-id are needed to verify the key of the KMS', '--signer');
  }
  const { verifyEnvKey } = await import('../keys/env-encrypt-key.ts');
  const appId = fromHex(options.appId, { field: '--app-id', prefix: true, length: 20 });
  const signer = fromHex(options.signer, { field: '--signer', prefix: true, length: 33 });
  const maxAge = Number(options.maxAge);
  if (!Number.isSafeInteger(maxAge) || maxAge < 0) throw usage('--max-age must be whole seconds', '--max-age');
  await verifyEnvKey(signed, appId, signer, undefined, maxAge);
  return signed.publicKey;
}

async function check(options: Check): Promise<void> {
  const allowed = await allowedEnvs(options);
  if (options.encrypted === undefined) {
    const { formatEnvDocument } = await import('../config/env-text.ts');
    report(await judge(formatEnvDocument(await readVariables(options)), allowed), {}, options);
    return;
  }
  const { openEnvBlob } = await import('../config/env-cipher.ts');
  const { DstackError } = await import('../errors.ts');
  const { readLimited, readSecretFile, wipe } = await import('../sys/files.ts');
  if (options.keys === undefined) {
    throw new DstackError('INPUT_INVALID', '--encrypted needs --keys: only the app itself can open its environment', {
      field: '--keys',
    });
  }
  const { parseAppKeys, wipeAppKeys } = await import('../config/app-keys.ts');
  const keys = parseAppKeys(await readSecretFile(options.keys, 1024 * 1024), options.keys);
  try {
    const blob = await readLimited(options.encrypted, 256 * 1024);
    const document = openEnvBlob(keys.envCryptKey, blob);
    report(await judge(document, allowed), { bytes: blob.length }, options);
    wipe(document);
  } finally {
    wipeAppKeys(keys);
  }
}

export default function define(command: Command): void {
  command.helpCommand(false);
  const sub = (name: string, summary: string) =>
    command
      .command(name)
      .description(summary)
      .option('--env <file>', 'KEY=value lines or {"env":[{"key","value"}]}, mode 0600 (default: stdin)')
      .option('--app-compose <file>', 'refuse names that its allowed_envs does not have')
      .option('--json', 'print the result as JSON');
  sub('encrypt', 'encrypt variables for one app')
    .option('--kms-answer <file>', 'answer of the KMS method GetAppEnvEncryptPubKey, JSON')
    .option('--app-id <hex>', 'app the key must be signed for')
    .option('--signer <hex>', 'public key of the KMS one trusts, 33 bytes')
    .option('--max-age <seconds>', 'oldest accepted signature', '300')
    .option('--public-key <hex>', 'encrypt for this X25519 key')
    .option('--trust-key', 'do not verify who gave the key')
    .option('-o, --output <file>', 'write the bytes of .encrypted-env (default: hex on stdout)')
    .addHelpText(
      'after',
      '\nThe key of the app comes from its KMS:\n' +
        '  curl -k -d \'{"app_id":"<hex>"}\' \'https://<kms>/prpc/GetAppEnvEncryptPubKey?json\' > answer.json\n' +
        'It is the signature of the answer that counts (--signer), not the connection it came through.',
    )
    .action(encrypt);
  sub('check', 'judge variables, or an encrypted file, as a guest does')
    .option('--encrypted <file>', 'an .encrypted-env file')
    .option('--keys <file>', 'the .appkeys.json that opens it')
    .addHelpText(
      'after',
      '\nThree different failures: ENV_DECRYPT_FAILED (another key), ENV_NOT_ALLOWED (allowed_envs lacks a name),\n' +
        'ENV_MALFORMED (a rule of the document is broken). Names and sizes are shown, values never.',
    )
    .action(check);
}

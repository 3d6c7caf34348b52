/** `dstack-util get-keys`: asks a KMS for the keys of this app, as setup does, and shows them. */
import type { Command } from 'commander';
import { DstackError } from '../errors.ts';
import { loadKmsClient } from '../net/net.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';

interface Options {
  readonly kmsUrl: string;
  readonly appId?: string;
  readonly output?: string;
  readonly rootCa?: string;
}

const ROOT_LIMIT = 64 * 1024;
const SYS_CONFIG_LIMIT = 32 * 1024;

export default function define(command: Command): void {
  command
    .requiredOption('-k, --kms-url <url>', 'address of the KMS; /prpc is appended if it is missing')
    .option('--app-id <hex>', 'app id for platforms whose evidence names none (not TDX)')
    .option('-o, --output <file>', 'write to this file (mode 0600, replaced atomically) instead of standard output')
    .option(
      '--root-ca <file>',
      'root certificate (PEM) that the chain of the KMS must end at (default: the one that the KMS names)',
    )
    .addHelpText(
      'after',
      '\nThe result is secret: use -o. The usage in the certificate of the KMS is not checked, and no event is measured.',
    )
    .action(run);
}

/** Where the host says that collateral is, if this machine has such a document. */
async function collateralService(): Promise<string | undefined> {
  const [{ hostShared }, { parseSysConfig }, { ifExists, readLimited }] = await Promise.all([
    import('../config/paths.ts'),
    import('../config/sys-config.ts'),
    import('../sys/files.ts'),
  ]);
  const path = hostShared('sysConfig');
  const bytes = await ifExists(() => readLimited(path, SYS_CONFIG_LIMIT));
  return bytes === undefined ? undefined : parseSysConfig(bytes, path).pccsUrl;
}

async function run({ kmsUrl, appId, output, rootCa }: Options): Promise<void> {
  const [{ fromHex }, { formatAppKeys, wipeAppKeys }, { requestAppKeys }, { takeAttestation }, files, ui] =
    await Promise.all([
      import('../codec/hex.ts'),
      import('../config/app-keys.ts'),
      loadKmsClient(),
      import('../tdx/take-evidence.ts'),
      import('../sys/files.ts'),
      import('../ui.ts'),
    ]);
  if (appId !== undefined) fromHex(appId, { field: '--app-id', prefix: true, length: 20 });
  const pinnedRoot = rootCa === undefined ? undefined : files.utf8(await files.readLimited(rootCa, ROOT_LIMIT), rootCa);
  if (!URL.canParse(kmsUrl) || new URL(kmsUrl).protocol !== 'https:') {
    throw new DstackError('INPUT_INVALID', '--kms-url is not an https URL', { field: '--kms-url', value: kmsUrl });
  }
  ui.info(`asking ${kmsUrl} for the keys of this app`);
  const keys = await requestAppKeys({
    urls: [kmsUrl],
    vmConfig: '',
    attest: (reportData) => takeAttestation(reportData, realTdxMachine),
    pinnedRoot,
    evidenceRules: { pccs: await collateralService() },
  });
  try {
    const text = `${formatAppKeys(keys, true)}\n`;
    if (output === undefined) await ui.output(text);
    else await files.writeAtomic(output, text, 0o600);
  } finally {
    wipeAppKeys(keys);
  }
}

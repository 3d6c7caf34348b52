/** `dstack-util derive-key`: an application key by its name, as the RPC method GetKey of either version answers it. */
import type { Command } from 'commander';

import { Option } from 'commander';
import { DstackError } from '../errors.ts';
import type { DerivedKey, SigningKeys } from '../keys/get-key.ts';
import { offering } from './offered-values.ts';

interface Options {
  api: 'v0' | 'v1';
  path?: string;
  purpose?: string;
  domain?: string;
  algorithm?: string;
  keysFile?: string;
  json?: boolean;
}

/** Bytes of a key file; a real one has about 2 KiB. */
const KEYS_FILE_LIMIT = 1024 * 1024;

export default function define(command: Command): void {
  command
    .addOption(
      new Option('--api <version>', 'version of the guest API that the key belongs to; the two have different keys')
        .choices(['v0', 'v1'])
        .default('v0'),
    )
    .option('--path <path>', 'v0: path of the key; nothing else chooses the key')
    .option('--purpose <text>', 'v0: signed together with the public key (default: empty)')
    .option('--domain <text>', 'v1: domain of the key')
    .addOption(
      offering('--algorithm <name>', 'kind of key; k256 is v0 only, whose default is secp256k1', [
        'secp256k1',
        'ed25519',
        'k256',
      ]),
    )
    .option('--keys-file <file>', 'key file (default: .appkeys.json of the host-shared directory)')
    .option('--json', 'print {key, public_key, signature_chain} as JSON')
    .action(async (options: Options) => {
      const derive = derivation(options);
      const [{ parseAppKeys, wipeAppKeys }, { hostShared }, { readLimited, wipe }, { toHex }, ui] = await Promise.all([
        import('../config/app-keys.ts'),
        import('../config/paths.ts'),
        import('../sys/files.ts'),
        import('../codec/hex.ts'),
        import('../ui.ts'),
      ]);
      const path = options.keysFile ?? hostShared('appKeys');
      const raw = await readLimited(path, KEYS_FILE_LIMIT);
      const keys = parseAppKeys(raw, path);
      wipe(raw);
      const derived = await derive(keys).finally(() => wipeAppKeys(keys));
      const shown = {
        key: toHex(derived.key),
        public_key: toHex(derived.publicKey),
        signature_chain: derived.signatureChain.map(toHex),
      };
      wipe(derived.key);
      ui.result(shown, {
        json: options.json,
        text: () =>
          [
            `key              ${shown.key}`,
            `public_key       ${shown.public_key}`,
            ...shown.signature_chain.map((link, i) => `signature_chain  ${i} ${link || '(empty: no KMS)'}`),
          ].join('\n'),
      });
    });
}

/** What the options ask for. @throws USAGE for options of the other version, or one that is missing */
function derivation({ api, path, purpose, domain, algorithm }: Options): (keys: SigningKeys) => Promise<DerivedKey> {
  const usage = (message: string) => new DstackError('USAGE', message);
  if (api === 'v1') {
    if (path !== undefined || purpose !== undefined) throw usage('--path and --purpose belong to --api v0');
    if (domain === undefined || algorithm === undefined) throw usage('--api v1 needs --domain and --algorithm');
    return async (keys) => (await import('../keys/get-key-v1.ts')).getKeyV1(keys, domain, algorithm);
  }
  if (domain !== undefined) throw usage('--domain belongs to --api v1');
  if (path === undefined) throw usage('--path is missing');
  return async (keys) => (await import('../keys/get-key.ts')).getKey(keys, path, purpose ?? '', algorithm ?? '');
}

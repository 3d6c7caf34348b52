/** `dstack-util derive-key`: an application key by path, as the RPC method GetKey answers it. */
import type { Command } from 'commander';

interface Options {
  path: string;
  purpose: string;
  algorithm: string;
  keysFile?: string;
  json?: boolean;
}

/** Bytes of a key file; a real one has about 2 KiB. */
const KEYS_FILE_LIMIT = 1024 * 1024;

export default function define(command: Command): void {
  command
    .requiredOption('--path <path>', 'path of the key; it alone decides which key this is')
    .option('--purpose <text>', 'signed together with the public key', '')
    .option('--algorithm <name>', 'secp256k1 (alias k256) or ed25519', 'secp256k1')
    .option('--keys-file <file>', 'key file (default: .appkeys.json of the host-shared directory)')
    .option('--json', 'print {key, public_key, signature_chain} as JSON')
    .action(async (options: Options) => {
      const [{ parseAppKeys, wipeAppKeys }, { hostShared }, { readLimited, wipe }, { getKey }, { toHex }, ui] =
        await Promise.all([
          import('../config/app-keys.ts'),
          import('../config/paths.ts'),
          import('../sys/files.ts'),
          import('../keys/get-key.ts'),
          import('../codec/hex.ts'),
          import('../ui.ts'),
        ]);
      const path = options.keysFile ?? hostShared('appKeys');
      const raw = await readLimited(path, KEYS_FILE_LIMIT);
      const keys = parseAppKeys(raw, path);
      wipe(raw);
      const derived = await getKey(keys, options.path, options.purpose, options.algorithm).finally(() =>
        wipeAppKeys(keys),
      );
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

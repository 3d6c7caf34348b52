/** `dstack-sim kms`: a key management service for development. */
import { type Command, InvalidArgumentError } from 'commander';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { compressedPublicKey } from '../../src/keys/secp256k1.ts';
import * as ui from '../../src/ui.ts';
import { DEVELOPMENT_SEED } from '../mock-keys.ts';
import { mockPki } from '../pki.ts';
import { knownImage } from './known-image.ts';
import { describeApp } from './methods.ts';
import { freshRoots, openRoots } from './roots.ts';
import { Kms } from './server.ts';

interface Options {
  readonly listen: string;
  readonly socket?: string;
  readonly domain?: string;
  readonly state?: string;
  readonly seed: string;
  readonly allowApp: readonly string[];
  readonly allowCompose: readonly string[];
  readonly allowAny?: boolean;
  readonly verifyImage: readonly string[];
  readonly gatewayAppId: string;
  readonly quote: boolean;
  readonly failAfter?: number;
  readonly delay?: number;
  readonly wrongCert?: boolean;
  readonly wrongUsage?: boolean;
  readonly badQuote?: boolean;
}

const hexList =
  (length: number) =>
  (text: string, before: readonly string[]): string[] => {
    try {
      return [...before, toHex(fromHex(text, { prefix: true, length }))];
    } catch (thrown) {
      throw new InvalidArgumentError((thrown as Error).message);
    }
  };

function count(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('a whole number is needed');
  return Number(text);
}

export function defineKms(command: Command): void {
  command
    .description('give keys to simulated guests, as a KMS does: real protocol, keys that protect nothing')
    .option('--listen <host:port>', 'listen on this TCP address', '127.0.0.1:8443')
    .option('--socket <path>', 'listen on this unix socket instead')
    .option('--domain <name>', 'host name or IP address in the certificate (default: the host of --listen)')
    .option('--state <dir>', 'keep the root keys here; without it they live as long as the process')
    .option('--seed <hex>', 'seed of the simulated platform whose guests are believed', DEVELOPMENT_SEED)
    .option('--allow-app <hex>', 'app id that may have keys (repeatable)', hexList(20), [])
    .option('--allow-compose <hex>', 'compose hash that may have keys (repeatable)', hexList(32), [])
    .option('--allow-any', 'every app whose evidence verifies may have keys')
    .option(
      '--verify-image <dir>',
      'only guests whose MRTD and RTMR0 to RTMR2 are those of the OS image in this folder (repeatable)',
      (dir: string, before: readonly string[]) => [...before, dir],
      [],
    )
    .option('--gateway-app-id <id>', 'gateway that apps may trust: an app id, or `any`', '')
    .option('--no-quote', 'show a certificate without evidence')
    .option('--fail-after <n>', 'fault: close every connection after n answers', count)
    .option('--delay <ms>', 'fault: wait before each answer', count)
    .option('--wrong-cert', 'fault: a certificate of another root')
    .option('--wrong-usage', 'fault: a certificate that is not for a KMS')
    .option('--bad-quote', 'fault: a certificate with a quote that was changed')
    .addHelpText('after', '\nPrints where it listens, then each request, as one line of JSON.')
    .action(run);
}

async function run(options: Options): Promise<void> {
  const { allowApp, allowCompose, allowAny } = options;
  if (!allowAny && allowApp.length + allowCompose.length === 0) {
    throw new DstackError('USAGE', 'nobody may have keys: use --allow-app, --allow-compose or --allow-any');
  }
  if (options.badQuote && !options.quote)
    throw new DstackError('USAGE', '--bad-quote and --no-quote exclude each other');
  const { host, port } = address(options.listen);
  const roots = options.state === undefined ? await freshRoots() : await openRoots(options.state);
  const { verifyImage } = options;
  const kms = await Kms.start(
    {
      roots,
      images: verifyImage.length === 0 ? undefined : await Promise.all(verifyImage.map(knownImage)),
      pki: mockPki(fromHex(options.seed, { field: '--seed', prefix: true, length: 32 })),
      policy: { apps: new Set(allowApp), composeHashes: new Set(allowCompose), any: allowAny === true },
      gatewayAppId: options.gatewayAppId,
      domain: options.domain ?? host,
      attested: options.quote,
      faults: options,
      onIssued: (info) => ui.info(`keys for ${describeApp(info)}`),
    },
    options.socket === undefined ? { host, port } : { path: options.socket },
  );
  const line = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);
  kms.on('request', line);
  const name = host.includes(':') ? `[${host}]` : host;
  line({
    url: options.socket === undefined ? `https://${name}:${kms.port}` : `unix:${options.socket}`,
    root_ca_pubkey: toHex(roots.ca.key.spkiDer),
    k256_pubkey: toHex(compressedPublicKey(roots.k256)),
  });
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  await kms.close();
}

/** `host:port`, `[ipv6]:port`. */
function address(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null)
    throw new DstackError('USAGE', `--listen ${text} is not host:port`, { field: '--listen', value: text });
  return { host: match[1] ?? match[2] ?? '', port: Number(match[3]) };
}

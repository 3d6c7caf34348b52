/** `app`: from a compose file to an app-compose.json, and what a guest will say about it. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { toHex } from '../codec/hex.ts';
import type { AppCompose } from '../config/app-compose.ts';
import { loadAppCheck, loadAppInit } from '../deploy/deploy.ts';
import { DstackError } from '../errors.ts';
import * as ui from '../ui.ts';

interface Init {
  readonly out: string;
  readonly name?: string;
  readonly runner: 'docker-compose' | 'nerdctl-compose';
  readonly keyProvider: 'kms' | 'local' | 'none';
  readonly gateway: boolean;
  readonly publicLogs: boolean;
  readonly publicSysinfo: boolean;
  readonly allowEnv: readonly string[];
  readonly registryLogin: boolean;
  readonly preLaunchScript?: string;
  readonly storageFs?: string;
  readonly swapSize?: string;
  readonly instanceId: boolean;
  readonly secureTime: boolean;
  readonly pin: boolean;
  readonly force: boolean;
  readonly json?: boolean;
}

/** The file of a command; the one that is taken without a name may not be there, and then a name is what is missing. */
async function named(file: string | undefined, fallback: string, command: string): Promise<string> {
  if (file !== undefined) return file;
  const { exists } = await import('../sys/files.ts');
  if (await exists(fallback)) return fallback;
  throw new DstackError('FILE_NOT_FOUND', `no file was named, and ${fallback} does not exist here`, {
    path: fallback,
    hint: `name one: dstack-util app ${command} FILE`,
  });
}

async function init(file: string | undefined, options: Init): Promise<void> {
  const path = await named(file, 'docker-compose.yaml', 'init');
  const { initApp } = await loadAppInit();
  const { countOf, findingsText } = await loadAppCheck();
  const made = await initApp(path, {
    ...(options.name === undefined ? {} : { name: options.name }),
    runner: options.runner,
    keyProvider: options.keyProvider,
    gateway: options.gateway,
    publicLogs: options.publicLogs,
    publicSysinfo: options.publicSysinfo,
    allowEnvs: options.allowEnv,
    registryLogin: options.registryLogin,
    noInstanceId: !options.instanceId,
    secureTime: options.secureTime,
    pin: options.pin,
    ...(await scriptOf(options.preLaunchScript)),
    ...(options.storageFs === undefined ? {} : { storageFs: options.storageFs }),
    ...(await swapOf(options.swapSize)),
  });
  const { app, images, pinned, findings } = made;
  const refused = countOf(findings, 'refused');
  const written = refused === 0 || options.force;
  if (written) await write(options.out, made.text, options.force);
  else process.exitCode = 1;
  const text = () => [
    ...findingsText(findings),
    ...(findings.length === 0 ? [] : ['']),
    ...(written
      ? [
          `wrote         ${options.out}`,
          ...idLines(app),
          `allowed_envs  ${app.allowedEnvs.join(' ') || 'none'}`,
          ...(pinned.length === 0 ? [] : [`pinned        ${pinned.join(' ')}`]),
        ]
      : [`not written: a guest would refuse it; --force writes it nevertheless`]),
  ];
  const value = {
    file: written ? options.out : null,
    ...ids(app),
    allowed_envs: app.allowedEnvs,
    images: images.map(({ where, image, pinned: fixed, suggestion }) => ({
      where,
      image,
      pinned: fixed,
      suggestion: suggestion ?? null,
    })),
    pinned,
    refused: refused > 0,
    findings,
  };
  ui.result(value, { json: options.json, text });
}

async function scriptOf(path: string | undefined): Promise<{ preLaunchScript?: string }> {
  if (path === undefined) return {};
  const { readLimited, utf8 } = await import('../sys/files.ts');
  return { preLaunchScript: utf8(await readLimited(path, 1024 * 1024), path) };
}

async function swapOf(text: string | undefined): Promise<{ swapSize?: number }> {
  if (text === undefined) return {};
  const { parseHumanSize } = await import('../config/human-size.ts');
  return { swapSize: Number(parseHumanSize(text, '--swap-size')) };
}

async function write(path: string, text: string, force: boolean): Promise<void> {
  const { exists, writeAtomic } = await import('../sys/files.ts');
  if (!force && (await exists(path))) {
    throw new DstackError('FILE_IO', `file ${path} exists already`, {
      path,
      hint: 'name another file with --out, or replace it with --force: other bytes make another app',
    });
  }
  await writeAtomic(path, text, 0o644);
}

async function check(
  file: string | undefined,
  options: { image?: string; strict: boolean; json?: boolean },
): Promise<void> {
  const { checkFile, countOf, findingsText } = await loadAppCheck();
  const path = await named(file, 'app-compose.json', 'check');
  const { kind, app, image, findings } = await checkFile(
    path,
    options.image === undefined ? {} : { image: options.image },
  );
  const refused = countOf(findings, 'refused');
  const unpinned = countOf(findings, 'unpinned');
  if (refused > 0 || (options.strict && unpinned > 0)) process.exitCode = 1;
  const counts = `${refused} refused, ${unpinned} unpinned, ${countOf(findings, 'warning')} warnings, ${countOf(findings, 'note')} notes`;
  ui.result(
    {
      file: path,
      kind,
      ...(app === undefined ? {} : ids(app)),
      ...(image === undefined
        ? {}
        : { image: { version: image.version, docker_compose: image.composeVersion ?? null } }),
      refused: refused > 0,
      unpinned,
      findings,
    },
    { json: options.json, text: () => [...findingsText(findings), `${path}: ${counts}`] },
  );
}

async function hash(file: string | undefined, options: { json?: boolean }): Promise<void> {
  const { readAppCompose } = await import('../config/read-app-compose.ts');
  const { canonicalJson } = await import('../codec/jcs.ts');
  const { createHash } = await import('node:crypto');
  const app = await readAppCompose(await named(file, 'app-compose.json', 'hash'));
  const canonical = createHash('sha256').update(canonicalJson(app.document)).digest('hex');
  const normalized = canonical === toHex(app.composeHash);
  ui.result(
    { ...ids(app), name: app.name, bytes: app.raw.length, normalized, normalized_hash: canonical },
    {
      json: options.json,
      text: () => [
        ...idLines(app),
        `name          ${app.name}`,
        `size          ${app.raw.length} bytes`,
        normalized
          ? 'normalized    yes: the hash functions of the SDKs give the same'
          : `normalized    no: the hash functions of the SDKs give ${canonical}, of other bytes`,
      ],
    },
  );
}

const ids = ({ composeHash }: AppCompose) => ({
  compose_hash: toHex(composeHash),
  app_id: toHex(composeHash.subarray(0, 20)),
  app_address: `0x${toHex(composeHash.subarray(0, 20))}`,
});

function idLines(app: AppCompose): string[] {
  const { compose_hash, app_id, app_address } = ids(app);
  return [
    `compose hash  ${compose_hash}`,
    `app id        ${app_id}`,
    `              ${app_address} as a contract's address`,
  ];
}

function variableName(text: string, before: readonly string[]): string[] {
  if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(text))
    throw new InvalidArgumentError('It is not a name of an environment variable.');
  return [...before, text];
}

const INIT_HELP = `
The document has the form in which the platform's own tool writes it, and its bytes are what is measured.
allowed_envs gets every variable that the compose file uses: \${NAME}, NAME: without a value in environment or build args.
Only the text of the compose file reaches the guest: what it takes from files beside it is named, and not written.
Defaults: keys from a KMS, because with none every boot begins with new keys and an empty disk; logs and figures private;
no gateway; the boot does not wait for a time source; the image chooses the file system of the data disk.
Digests are suggested from images that the docker of this machine has; nothing is fetched.
Exit status 1 if a guest would refuse the app: then nothing is written.

Examples:
  dstack-util app init docker-compose.yaml
  dstack-util app init compose.yaml --name shop --gateway --pin --out shop.json`;

const CHECK_HELP = `
REFUSED: the boot, or docker in the guest, would not start the app. unpinned: what runs can change, and the measurement
does not. warning: it starts, but hardly as intended.
Exit status: 0 nothing is refused, 1 something is (with --strict also if something is not pinned).

Examples:
  dstack-util app check app-compose.json --strict
  dstack-util app check docker-compose.yaml --image images/dstack-0.6.0`;

export default function define(command: Command): void {
  const sub = (name: string, summary: string) => command.command(name).description(summary);
  sub('init', 'write an app-compose.json for a compose file')
    .argument('[file]', 'the compose file (default: docker-compose.yaml)')
    .option('-o, --out <file>', 'where to write the document', 'app-compose.json')
    .option('--name <text>', 'name of the app (default: that of the compose file, else of its folder)')
    .addOption(
      new Option('--runner <kind>', 'what starts the containers')
        .choices(['docker-compose', 'nerdctl-compose'])
        .default('docker-compose'),
    )
    .addOption(
      new Option('--key-provider <kind>', 'who gives the app its keys')
        .choices(['kms', 'local', 'none'])
        .default('kms'),
    )
    .option('--gateway', 'register with the gateway, which leads visitors to published ports', false)
    .option('--public-logs', 'let everybody read the logs of the containers', false)
    .option('--public-sysinfo', 'let everybody read load, memory and disk usage', false)
    .option('--allow-env <name>', 'another variable that may be set; may be repeated', variableName, [])
    .option('--registry-login', 'allow the variables that log in to a private registry', false)
    .option('--pre-launch-script <file>', 'script that runs before the containers start')
    .addOption(new Option('--storage-fs <fs>', 'file system of the data disk').choices(['ext4', 'zfs']))
    .option('--swap-size <size>', 'swap on the data disk: bytes, or 2G')
    .option('--no-instance-id', 'give all instances of the app the same identity and disk key')
    .option('--secure-time', 'do not boot before the clock is synchronized', false)
    .option('--pin', 'write the digests that the docker of this machine knows into the compose file', false)
    .option('--force', 'write it although a guest would refuse it, or over an existing file', false)
    .option('--json', 'print the result as JSON')
    .addHelpText('after', INIT_HELP)
    .action(init);
  sub('check', 'say what a guest would refuse, what is not pinned, and what would not work')
    .argument('[file]', 'an app-compose.json or a compose file (default: app-compose.json)')
    .option('--image <dir>', 'folder of the operating system image that will boot it')
    .option('--strict', 'exit status 1 also if something is not pinned', false)
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', CHECK_HELP)
    .action(check);
  sub('hash', 'print the compose hash and the app id')
    .argument('[file]', 'the document, byte for byte as it is deployed (default: app-compose.json)')
    .option('--json', 'print JSON instead of text')
    .addHelpText(
      'after',
      '\nThe app id is the one that a host uses unless it names another; `measure` predicts what the boot measures.\n' +
        'The SDKs hash the document with sorted keys and without white space: deploy that form if you use their functions.',
    )
    .action(hash);
}

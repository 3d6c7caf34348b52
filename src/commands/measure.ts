/**
 * `measure`: predicts compose hash, app id and RTMR3 of an app without booting it, and MRTD and RTMR0 to RTMR2 of the system
 * below it.
 */
import * as fs from 'node:fs/promises';
import type { Command } from 'commander';
import { fromHex, toHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import type { PredictedEvent, Prediction } from '../tdx/predict-app.ts';
import * as ui from '../ui.ts';
import type { System, SystemOptions } from './measure-system.ts';

/** As for the host share: formats, host-shared directory. */
const LIMIT = { instance: 10_240 } as const;

interface Options extends SystemOptions {
  readonly instanceInfo?: string;
  readonly appId?: string;
  readonly instanceId?: string;
  readonly keyProviderId?: string;
  readonly osImageHash?: string;
  readonly cmdline?: string;
  readonly event: string[];
  readonly json?: boolean;
}

const collect = (value: string, before: string[]): string[] => [...before, value];

export default function define(command: Command): void {
  command
    .argument(
      '[file]',
      'the app’s app-compose.json, byte for byte as it is deployed (default: app-compose.json, or no app when an image is named)',
    )
    .option('--instance-info <file>', 'the .instance_info that the host keeps for this instance')
    .option('--app-id <hex>', '20 bytes, if the host names the app')
    .option('--instance-id <hex>', '20 bytes, of the running guest')
    .option('--key-provider-id <hex>', 'KMS root key (SPKI in DER) or MRENCLAVE of the local provider')
    .option('--os-image-hash <hex>', 'os image hash that the KMS answers for this image')
    .option('--cmdline <text>', 'kernel command line, for its storage options')
    .option('--event <name=hex>', 'event that the app measures after the boot; may be repeated', collect, [])
    .option('--image <dir>', 'folder of the operating system image: predict the system, too')
    .option('--image-measurement <file>', 'measurement.tdx.cbor of the image, instead of the folder')
    .option('--checksum-file <file>', 'sha256sum.txt of the image (default: the one beside the measurement document)')
    .option('--vm-config <file>', 'vm_config document of the VM as JSON')
    .option('--memory <size>', 'memory of the VM: bytes, or 2G')
    .option('--cpus <n>', 'processors of the VM')
    .option('--qemu-version <version>', 'QEMU of the host (default: 9.1.0)')
    .option('--vm <name=value>', 'another field of vm_config, as hotplug_off=true; may be repeated', collect, [])
    .option('--acpi <hex,hex,hex>', 'digests of the events acpi-loader, acpi-rsdp and acpi-tables')
    .option('--event-log <file>', 'event log as JSON of a VM of this shape, for its ACPI digests')
    .option('--json', 'print JSON instead of text')
    .addHelpText(
      'after',
      `
Values that only the running guest knows are named; RTMR3 is known as far as they are given.
With an image its checksum file is checked first, its hash stands for --os-image-hash and its command line for --cmdline.
RTMR0 needs the digests of the ACPI tables, which the host makes for each VM: only its event log tells them.`,
    )
    .action(run);
}

async function run(file: string | undefined, options: Options): Promise<void> {
  const { asksForSystem, predictSystem, systemResult, systemText } = await import('./measure-system.ts');
  const system = asksForSystem(options) ? await predictSystem(options) : undefined;
  const app = system !== undefined && file === undefined ? undefined : await predictApp(file, options, system);
  ui.result(
    {
      ...(app === undefined ? {} : predictionJson(app)),
      ...(system === undefined ? {} : { system: systemResult(system) }),
    },
    {
      json: options.json,
      text: () => [
        ...(app === undefined ? [] : predictionText(app)),
        ...(app === undefined || system === undefined ? [] : ['']),
        ...(system === undefined ? [] : systemText(system)),
      ],
    },
  );
}

async function predictApp(
  file = 'app-compose.json',
  options: Options,
  system: System | undefined,
): Promise<Prediction> {
  const { predict } = await import('../tdx/predict-app.ts');
  const { APP_COMPOSE_LIMIT, parseAppCompose } = await import('../config/app-compose.ts');
  const { parseInstanceInfo } = await import('../config/instance-info.ts');
  const { parseCmdline } = await import('../config/cmdline.ts');
  const compose = parseAppCompose(await readLimited(await real(file), APP_COMPOSE_LIMIT, file), file);
  const info =
    options.instanceInfo === undefined
      ? { instanceIdSeed: new Uint8Array(), instanceId: new Uint8Array(), appId: new Uint8Array() }
      : parseInstanceInfo(
          await readLimited(await real(options.instanceInfo), LIMIT.instance, options.instanceInfo),
          options.instanceInfo,
        );
  const appId = optionalHex('--app-id', options.appId);
  const cmdline = options.cmdline ?? system?.cmdline;
  return predict(compose, {
    instance: appId === undefined ? info : { ...info, appId },
    instanceId: optionalHex('--instance-id', options.instanceId),
    keyProviderId: optionalHex('--key-provider-id', options.keyProviderId),
    osImageHash: optionalHex('--os-image-hash', options.osImageHash) ?? system?.osImageHash,
    cmdline: parseCmdline(cmdline ?? ''),
    cmdlineKnown: cmdline !== undefined,
    later: options.event.map(laterEvent),
  });
}

/** A missing file is named as the user wrote it. */
async function real(path: string): Promise<string> {
  return fs.realpath(path).catch(() => path);
}

const optionalHex = (field: string, text: string | undefined): Uint8Array | undefined =>
  text === undefined ? undefined : fromHex(text, { field, prefix: true });

function laterEvent(text: string): { event: string; payload: Uint8Array } {
  const at = text.lastIndexOf('=');
  if (at < 1) {
    throw new DstackError('INPUT_INVALID', `--event ${JSON.stringify(text)} is not NAME=HEX`, {
      field: '--event',
      value: text,
    });
  }
  return { event: text.slice(0, at), payload: fromHex(text.slice(at + 1), { field: '--event', prefix: true }) };
}

const hexOrNull = (bytes: Uint8Array | undefined): string | null => (bytes === undefined ? null : toHex(bytes));

function predictionJson(prediction: Prediction): object {
  return {
    compose_hash: toHex(prediction.composeHash),
    app_id: toHex(prediction.appId),
    event_log_version: prediction.version,
    rtmr3: hexOrNull(prediction.rtmr3),
    rtmr3_boot_mr_done: hexOrNull(prediction.bootRtmr3),
    events: prediction.events.map(({ event, payload, digest, register }) => ({
      event,
      payload: hexOrNull(payload),
      digest: hexOrNull(digest),
      rtmr3: hexOrNull(register),
    })),
    unknown: prediction.unknown,
    assumed: prediction.assumed,
  };
}

const DIGITS = 16;

function row({ event, payload, digest, register }: PredictedEvent): string {
  const short = (bytes: Uint8Array | undefined) => (bytes === undefined ? '?' : `${toHex(bytes).slice(0, DIGITS)}…`);
  const text = payload === undefined ? '?' : payload.length === 0 ? '-' : toHex(payload);
  const shown = text.length > 40 ? `${text.slice(0, 39)}…` : text;
  return `  ${event.padEnd(20)} ${shown.padEnd(40)}  ${short(digest).padEnd(DIGITS + 1)}  ${short(register)}`;
}

function predictionText(prediction: Prediction): string[] {
  const { unknown, assumed, rtmr3 } = prediction;
  return [
    `compose hash  ${toHex(prediction.composeHash)}`,
    `app id        ${toHex(prediction.appId)}`,
    '',
    `  ${'event'.padEnd(20)} ${'payload'.padEnd(40)}  ${'digest'.padEnd(DIGITS + 1)}  RTMR3`,
    ...prediction.events.map(row),
    '',
    `RTMR3         ${rtmr3 === undefined ? 'not known, because of what is missing:' : toHex(rtmr3)}`,
    ...unknown.map(({ event, why }) => `  unknown     ${event}: ${why}`),
    ...assumed.map((text) => `  assumed     ${text}`),
  ];
}

/** The app's part of `measure` and `verify init`: its document, and what else tells the events that it will measure. */
import * as fs from 'node:fs/promises';
import { fromHex } from '../codec/hex.ts';
import { DstackError } from '../errors.ts';
import { readLimited } from '../sys/files.ts';
import type { Prediction } from '../tdx/predict-app.ts';
import type { System } from './measure-system.ts';
import type { PredictionOptions } from './prediction-options.ts';

/** As for the host share: formats, host-shared directory. */
const DEFAULT_DOCUMENT = 'app-compose.json';
const LIMIT = { instance: 10_240 } as const;

/** The bytes of the document; where nobody named one, and there is none in this folder, one is asked for. */
async function readDocument(file: string, limit: number): Promise<Uint8Array> {
  try {
    return await readLimited(await real(file), limit, file);
  } catch (thrown) {
    if (file !== DEFAULT_DOCUMENT || !(thrown instanceof DstackError) || thrown.code !== 'FILE_NOT_FOUND') throw thrown;
    throw new DstackError('FILE_NOT_FOUND', `there is no ${DEFAULT_DOCUMENT} in this folder`, {
      path: file,
      hint: 'name the document: dstack-util measure FILE, or make one: dstack-util app init docker-compose.yaml',
    });
  }
}

/**
 * Reads the app's document and predicts its events.
 * @param system what an image tells: its hash and its kernel command line
 * @throws what the boot itself would refuse, and INPUT_INVALID or HEX_INVALID for the options
 */
export async function predictApp(
  file = DEFAULT_DOCUMENT,
  options: PredictionOptions,
  system: Pick<System, 'osImageHash' | 'cmdline'> | undefined,
): Promise<Prediction> {
  const { predict } = await import('../tdx/predict-app.ts');
  const { APP_COMPOSE_LIMIT, parseAppCompose } = await import('../config/app-compose.ts');
  const { parseInstanceInfo } = await import('../config/instance-info.ts');
  const { parseCmdline } = await import('../config/cmdline.ts');
  const compose = parseAppCompose(await readDocument(file, APP_COMPOSE_LIMIT), file);
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

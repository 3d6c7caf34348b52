/** Runs the sequences as commands: builds the context, runs, and ends the talk with the host. */
import { hostSharedDir, PATHS } from '../config/paths.ts';
import { DstackError } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { exists } from '../sys/files.ts';
import { detectPlatform } from '../tdx/platform.ts';
import { locateHostApi } from './host-share.ts';
import { HostNotifier } from './notifier.ts';
import { type Os, realOs } from './os.ts';
import type { PrepareContext } from './prepare/context.ts';
import { writePrepared } from './prepare/prepared.ts';
import { type Rooms, realRooms } from './rooms.ts';
import { runSequence } from './runner.ts';
import { HANDOVER, PREPARE, SETUP } from './sequence.ts';
import type { SetupContext, SetupOptions } from './setup/context.ts';
import { locateHost } from './setup/documents.ts';
import { wipeKeys } from './setup/keys.ts';
import { fileTimeline } from './timeline.ts';

/** How long the end of a good boot may wait for a slow host. */
const FLUSH_MS = 10_000;

/** What tests replace. */
export interface Surroundings {
  readonly os?: Os;
  readonly rooms?: Rooms;
  readonly host?: HostNotifier;
}

const notifier = () => new HostNotifier(undefined, detectPlatform());

/** `prepare`: leaves /run/dstack/prepared.json for `setup`. */
export async function prepare(surroundings: Surroundings = {}): Promise<void> {
  const os = surroundings.os ?? realOs;
  const context: PrepareContext = {
    host: surroundings.host ?? notifier(),
    measured: [],
    os,
    rooms: surroundings.rooms ?? realRooms,
    locateHost: () => locateHostApi(os),
  };
  const phases = await runSequence('prepare', PREPARE, context);
  if (context.device === undefined) throw new DstackError('INTERNAL', 'prepare ended without a data device');
  await writePrepared({ device: context.device, phases });
}

export interface RunSetup extends Partial<SetupOptions> {
  /** also bind, mount and start what follows setup */
  readonly handover?: boolean;
  /** default /run/log/dstack/boot.jsonl */
  readonly timelineFile?: string;
}

/** `setup`, and with `handover` everything up to the start of docker. */
export async function setup(options: RunSetup, surroundings: Surroundings = {}): Promise<void> {
  const context = await setupContext(options, surroundings);
  try {
    const timeline = fileTimeline(options.timelineFile);
    await runSequence('setup', SETUP, context, { timeline });
    if (options.handover) await runSequence('handover', HANDOVER, context, { timeline });
  } finally {
    wipeKeys(context);
  }
  await context.host.flush(FLUSH_MS);
}

async function setupContext(options: RunSetup, surroundings: Surroundings): Promise<SetupContext> {
  const hostShared = options.hostShared ?? (isDryRun() ? await readableShare() : undefined);
  const context: SetupContext = {
    host: surroundings.host ?? notifier(),
    measured: [],
    os: surroundings.os ?? realOs,
    rooms: surroundings.rooms ?? realRooms,
    found: {},
    locateHost: () => locateHost(context),
    options: {
      workDir: options.workDir ?? PATHS.workDir,
      mountPoint: options.mountPoint ?? PATHS.dataMount,
      shareMount: options.shareMount ?? PATHS.hostSharedMount,
      runDir: options.runDir ?? PATHS.run,
      dockerConfig: options.dockerConfig ?? '/etc/docker/daemon.json',
      ...(options.device === undefined ? {} : { device: options.device }),
      ...(hostShared === undefined ? {} : { hostShared }),
    },
  };
  return context;
}

/** A dry run mounts nothing: it reads a share that is mounted already, or the copy of an earlier setup. */
async function readableShare(): Promise<string> {
  for (const dir of [PATHS.hostSharedMount, hostSharedDir()]) {
    if (await exists(`${dir}/app-compose.json`)) return dir;
  }
  throw new DstackError('HOST_SHARE_MISSING', 'a dry run mounts nothing, and no host share is mounted', {
    hint: 'name a folder with the files of the host: --host-shared <dir>',
  });
}

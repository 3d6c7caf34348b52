/** Runs the sequences as commands: builds the context, runs, and ends the talk with the host. */
import { hostSharedDir, PATHS } from '../config/paths.ts';
import { DstackError, errorChain } from '../errors.ts';
import { isDryRun } from '../sys/effects.ts';
import { exists } from '../sys/files.ts';
import { detectPlatform } from '../tdx/platform.ts';
import { realTdxMachine } from '../tdx/tdx-machine.ts';
import * as ui from '../ui.ts';
import { type BootMachine, realBootMachine } from './boot-machine.ts';
import { type BootServices, realBootServices } from './boot-services.ts';
import { locateHostApi } from './host-share.ts';
import { HostNotifier } from './notifier.ts';
import type { PrepareContext } from './prepare/prepare-context.ts';
import { type Prepared, readPrepared, writePrepared } from './prepare/prepared.ts';
import { runSequence } from './run-sequence.ts';
import { HANDOVER, PREPARE, SETUP } from './sequence.ts';
import { locateHost } from './setup/documents.ts';
import { wipeKeys } from './setup/keys.ts';
import type { SetupContext, SetupOptions } from './setup/setup-context.ts';
import { keepTimeline, rotateTimeline } from './timeline-store.ts';
import { fileTimeline } from './timeline-writer.ts';

/** How long the end of a good boot may wait for a slow host. */
const FLUSH_MS = 10_000;

/**
 * The machine a sequence runs on. Nothing here has a default: a caller that forgets a part must fail, and not fall back to
 * mounting and measuring on the machine it happens to run on.
 */
export interface BootDependencies {
  readonly machine: BootMachine;
  readonly services: BootServices;
  readonly host: HostNotifier;
  /** /run/dstack/prepared.json */
  readonly preparedFile: string;
  /** /run/log/dstack/boot.jsonl */
  readonly timelineFile: string;
}

/** This machine, for real. */
export const realBootDependencies = (): BootDependencies => ({
  machine: realBootMachine,
  services: realBootServices,
  host: new HostNotifier(undefined, detectPlatform(realTdxMachine)),
  preparedFile: PATHS.prepared,
  timelineFile: PATHS.bootTimeline,
});

/** `prepare`: leaves /run/dstack/prepared.json for `setup`. */
export async function prepare({
  machine,
  services,
  host,
  preparedFile,
  timelineFile,
}: BootDependencies): Promise<Prepared> {
  const context: PrepareContext = {
    host,
    measured: [],
    notes: [],
    machine,
    services,
    locateHost: () => locateHostApi(machine),
  };
  const phases = await runSequence('prepare', PREPARE, context, { timeline: fileTimeline(timelineFile) });
  if (context.device === undefined) throw new DstackError('INTERNAL', 'prepare ended without a data device');
  const prepared = { device: context.device, phases };
  await writePrepared(prepared, preparedFile);
  return prepared;
}

export interface RunSetup extends Partial<SetupOptions> {
  /** also bind, mount and start what follows setup */
  readonly handover?: boolean;
}

/** `setup`, and with `handover` everything up to the start of docker. */
export async function setup(options: RunSetup, dependencies: BootDependencies): Promise<void> {
  const context = await setupContext(options, dependencies);
  try {
    const timeline = fileTimeline(dependencies.timelineFile);
    await runSequence('setup', SETUP, context, { timeline });
    if (options.handover) {
      await rotateTimeline(context.options.mountPoint);
      await runSequence('handover', HANDOVER, context, { timeline });
      await keepTimeline(context.options.mountPoint, dependencies.timelineFile);
      await forgetRestarts(dependencies);
    }
  } finally {
    wipeKeys(context);
  }
  await context.host.flush(FLUSH_MS);
}

/** The next failure counts from one again. Never fails a boot. */
async function forgetRestarts({ services, preparedFile }: BootDependencies): Promise<void> {
  if (isDryRun()) return;
  try {
    const prepared = await readPrepared(preparedFile);
    if (prepared !== undefined) await services.forgetRestarts(prepared.device);
  } catch (thrown) {
    ui.warn(`the count of restarts was not reset: ${errorChain(thrown)}`);
  }
}

async function setupContext(options: RunSetup, dependencies: BootDependencies): Promise<SetupContext> {
  const hostShared = options.hostShared ?? (isDryRun() ? await readableShare() : undefined);
  const context: SetupContext = {
    host: dependencies.host,
    measured: [],
    notes: [],
    machine: dependencies.machine,
    services: dependencies.services,
    found: {},
    locateHost: () => locateHost(context),
    options: {
      workDir: options.workDir ?? PATHS.workDir,
      mountPoint: options.mountPoint ?? PATHS.dataMount,
      shareMount: options.shareMount ?? PATHS.hostSharedMount,
      runDir: options.runDir ?? PATHS.run,
      preparedFile: dependencies.preparedFile,
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

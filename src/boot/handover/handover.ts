/** The phases after setup: from here on everything has its final place, and docker can start. */
import { readsComposeFile } from '../../config/app-compose.ts';
import { PATHS } from '../../config/paths.ts';
import { errorChain } from '../../errors.ts';
import * as ui from '../../ui.ts';
import { need, type SetupContext } from '../setup/setup-context.ts';
import { bindState, bindWorkDir } from './bind-mounts.ts';
import { runInitScripts } from './init-scripts.ts';

const DOCKER_ROOT = '/var/lib/docker';

const dstackDir = (context: SetupContext): string => `${context.machine.root}${PATHS.dstack}`;

export const bindContainerState = (context: SetupContext): Promise<void> =>
  bindState(context.options.mountPoint, context.machine);

export const bindWork = (context: SetupContext): Promise<void> => bindWorkDir(context.options.workDir, context.machine);

export async function mountVolumes(context: SetupContext): Promise<void> {
  await context.services.mountVerityVolumes(need(context, 'compose').verityVolumes);
}

export const runScripts = (context: SetupContext): Promise<void> =>
  runInitScripts(need(context, 'compose').initScripts, dstackDir(context), `${context.options.runDir}/init-scripts`);

export const usesComposeFile = (context: SetupContext): boolean => readsComposeFile(need(context, 'compose'));

export async function extractCompose(context: SetupContext): Promise<void> {
  await context.services.extractComposeFile(need(context, 'compose'), dstackDir(context));
}

/**
 * Containers that the last boot left wait for `deploy`. One that cannot be held could run before the pre-launch script:
 * then the boot stops.
 */
export async function holdLastContainers(context: SetupContext): Promise<void> {
  await context.services.holdContainers(DOCKER_ROOT);
}

/** Containers of services the app no longer has must not be started by dockerd; a failure is only logged. */
export async function removeOrphans(context: SetupContext): Promise<void> {
  try {
    await context.services.removeOrphansOffline(`${dstackDir(context)}/docker-compose.yaml`, DOCKER_ROOT);
  } catch (thrown) {
    ui.warn(`orphaned containers were not removed: ${errorChain(thrown)}`);
  }
}

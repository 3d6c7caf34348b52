/**
 * Containers of a service that the compose file no longer has (dstack boot order, orphan removal). Online they are removed
 * through docker; offline, before dockerd starts, by removing their folders, so that docker never starts them again.
 */
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DstackError, errorChain } from '../errors.ts';
import { effect } from '../sys/effects.ts';
import { ifExists, readLimited, utf8 } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { type ComposeProject, composeProject } from './compose-file.ts';
import { listContainers, removeContainer } from './docker-api.ts';
import { inBatches } from './in-batches.ts';

const PROJECT_LABEL = 'com.docker.compose.project';
const SERVICE_LABEL = 'com.docker.compose.service';
const COMPOSE_LIMIT = 64 * 1024 * 1024;
const CONFIG_LIMIT = 16 * 1024 * 1024;

export interface Orphan {
  readonly id: string;
  readonly service: string;
}

export interface OrphanOptions {
  /** tell only */
  readonly dryRun?: boolean;
  /** dockerd's socket (online) */
  readonly socketPath?: string;
}

/** Reads the project of a compose file; its folder's real name is the project's default name. @throws COMPOSE_INVALID */
export async function readComposeProject(composeFile: string): Promise<ComposeProject> {
  const real = await ifExists(() => fs.realpath(composeFile));
  if (real === undefined)
    throw new DstackError('FILE_NOT_FOUND', `file ${composeFile} does not exist`, { path: composeFile });
  const text = utf8(await readLimited(real, COMPOSE_LIMIT), real);
  return composeProject(text, basename(dirname(real)), composeFile);
}

/** The service of an orphan of this project, or undefined when the container is none. */
function orphanService(
  labels: Readonly<Record<string, unknown>>,
  { project, services }: ComposeProject,
): string | undefined {
  const service = labels[SERVICE_LABEL];
  if (labels[PROJECT_LABEL] !== project || typeof service !== 'string') return undefined;
  return services.has(service) ? undefined : service;
}

/** Removes orphans through docker. @returns what was (or would be) removed @throws DOCKER_UNAVAILABLE, COMPOSE_INVALID */
export async function removeOrphansOnline(composeFile: string, options: OrphanOptions = {}): Promise<Orphan[]> {
  const project = await readComposeProject(composeFile);
  const orphans: Orphan[] = [];
  for (const container of await listContainers(options.socketPath)) {
    const service = orphanService(container.Labels, project);
    if (service === undefined) continue;
    orphans.push({ id: container.Id, service });
    if (options.dryRun) continue;
    await effect(`remove container ${container.Id}`, undefined, () =>
      removeContainer(container.Id, options.socketPath),
    );
  }
  return orphans;
}

/**
 * Removes the folders of orphans below `dockerRoot`/containers. Volumes are not touched. A container whose record cannot
 * be read is left alone with a warning.
 * @returns what was (or would be) removed
 * @throws COMPOSE_INVALID
 */
export async function removeOrphansOffline(
  composeFile: string,
  dockerRoot: string,
  options: OrphanOptions = {},
): Promise<Orphan[]> {
  const project = await readComposeProject(composeFile);
  const root = join(dockerRoot, 'containers');
  const entries = (await ifExists(() => fs.readdir(root, { withFileTypes: true }))) ?? [];
  const names = entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).toSorted();
  const services = await inBatches(names, async (name) => {
    try {
      const labels = await containerLabels(join(root, name, 'config.v2.json'));
      return labels && orphanService(labels, project);
    } catch (thrown) {
      ui.warn(`container ${name} is left alone: ${errorChain(thrown)}`);
      return undefined;
    }
  });
  const orphans = names.flatMap((id, index) => {
    const service = services[index];
    return service === undefined ? [] : [{ id, service }];
  });
  if (options.dryRun) return orphans;
  for (const { id } of orphans) {
    const dir = join(root, id);
    await effect(`rm -r ${dir}`, undefined, () => fs.rm(dir, { recursive: true, force: true }));
  }
  return orphans;
}

/** `Config.Labels` of a container's record; undefined when there is no record. */
async function containerLabels(path: string): Promise<Record<string, unknown> | undefined> {
  const bytes = await ifExists(() => readLimited(path, CONFIG_LIMIT));
  if (bytes === undefined) return undefined;
  const value = JSON.parse(utf8(bytes, path)) as { Config?: { Labels?: unknown } } | null;
  const labels = value?.Config?.Labels;
  return typeof labels === 'object' && labels !== null ? (labels as Record<string, unknown>) : {};
}

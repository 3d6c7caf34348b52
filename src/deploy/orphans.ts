/**
 * Containers of a service that the compose file no longer has (dstack boot order, orphan removal). Online they are removed
 * through docker; offline, before dockerd starts, by removing their folders, so that docker never starts them again.
 */
import * as fs from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { DstackError, errorChain } from '../errors.ts';
import { effect } from '../sys/effects.ts';
import { ifExists, readLimited, utf8 } from '../sys/files.ts';
import * as ui from '../ui.ts';
import { type ComposeProject, composeProject } from './compose-file.ts';
import { CONFIG, type ContainerFolder, containerFolders, labelsOf, readRecord } from './container-records.ts';
import { listContainers, removeContainer } from './docker-api.ts';

const PROJECT_LABEL = 'com.docker.compose.project';
const SERVICE_LABEL = 'com.docker.compose.service';
const COMPOSE_FILE_LIMIT = 64 * 1024 * 1024;

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

/**
 * Reads the project of a compose file; its folder's real name is the project's default name. Warns when the file includes
 * others: then no container can be called an orphan.
 * @throws COMPOSE_INVALID, FILE_NOT_FOUND
 */
export async function readComposeProject(composeFile: string): Promise<ComposeProject> {
  const real = await ifExists(() => fs.realpath(composeFile));
  if (real === undefined)
    throw new DstackError('FILE_NOT_FOUND', `file ${composeFile} does not exist`, { path: composeFile });
  const text = utf8(await readLimited(real, COMPOSE_FILE_LIMIT), real);
  const project = await composeProject(text, basename(dirname(real)), composeFile);
  if (!project.complete)
    ui.warn(`${composeFile} includes other files: containers of services that it no longer has are left alone`);
  return project;
}

/** The service of an orphan of this project, or undefined when the container is none. */
function orphanService(
  labels: Readonly<Record<string, unknown>>,
  { project, services, complete }: ComposeProject,
): string | undefined {
  if (!complete) return undefined;
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
  const orphans: (Orphan & ContainerFolder)[] = [];
  for (const folder of containerFolders(dockerRoot)) {
    try {
      const config = readRecord(folder, CONFIG);
      const service = config && orphanService(labelsOf(config), project);
      if (service !== undefined) orphans.push({ ...folder, service });
    } catch (thrown) {
      ui.warn(`container ${folder.id} is left alone: ${errorChain(thrown)}`);
    }
  }
  if (!options.dryRun) {
    for (const { dir } of orphans)
      await effect(`rm -r ${dir}`, undefined, () => fs.rm(dir, { recursive: true, force: true }));
  }
  return orphans.map(({ id, service }) => ({ id, service }));
}

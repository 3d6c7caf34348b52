/** Calls of the Docker Engine API that look at and change single containers and images (Engine API v1.41 and later). */
import { errorChain } from '../errors.ts';
import * as ui from '../ui.ts';
import { type ContainerState, parseState } from './container-figures.ts';
import { type ContainerSummary, complaint, dockerJson, dockerRequest } from './docker-api.ts';
import { DockerFrames } from './log-frames.ts';

export interface RestartPolicy {
  readonly Name: string;
  readonly MaximumRetryCount: number;
}

/** A container of the app, as `GET /containers/<id>/json` tells it; only what is used here. */
export interface ProjectContainer extends ContainerState {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly service: string;
  /** created, running, restarting, exited, dead, paused */
  readonly status: string;
  /** last words of the health check */
  readonly healthOutput: string;
  /** docker's own words when it could not start the container */
  readonly error: string;
}

/** @throws DOCKER_UNAVAILABLE */
export async function setRestartPolicy(id: string, policy: RestartPolicy, socketPath?: string): Promise<void> {
  const path = `/containers/${encodeURIComponent(id)}/update`;
  const response = await dockerRequest('POST', path, socketPath, undefined, { RestartPolicy: policy });
  if (response.statusCode === 200 || response.statusCode === 404) response.resume();
  else throw await complaint(`update container ${id}`, response);
}

/** Starts a container; one that runs already, or is gone, is fine. @throws DOCKER_UNAVAILABLE */
export async function startContainer(id: string, socketPath?: string): Promise<void> {
  const response = await dockerRequest('POST', `/containers/${encodeURIComponent(id)}/start`, socketPath);
  if ([204, 304, 404].includes(response.statusCode ?? 0)) response.resume();
  else throw await complaint(`start container ${id}`, response);
}

const projectFilter = (project: string): string =>
  encodeURIComponent(JSON.stringify({ label: [`com.docker.compose.project=${project}`] }));

/** All containers of a compose project, one-off ones left out. @throws DOCKER_UNAVAILABLE */
export async function projectContainers(project: string, socketPath?: string): Promise<ProjectContainer[]> {
  const path = `/containers/json?all=1&filters=${projectFilter(project)}`;
  const list = (await dockerJson('list containers', path, { socketPath })) as Partial<ContainerSummary>[];
  const ids = list
    .filter(({ Labels }) => Labels?.['com.docker.compose.oneoff'] !== 'True')
    .flatMap(({ Id }) => (Id === undefined ? [] : [Id]));
  const states = await Promise.all(ids.map((id) => inspectContainer(id, socketPath)));
  return states.filter((state) => state !== undefined);
}

/** undefined when there is no such container any more. @throws DOCKER_UNAVAILABLE */
export async function inspectContainer(id: string, socketPath?: string): Promise<ProjectContainer | undefined> {
  const path = `/containers/${encodeURIComponent(id)}/json`;
  const answer = await dockerJson(`inspect container ${id}`, path, { socketPath, ifFound: true });
  if (answer === undefined) return undefined;
  const { Id, Name, State, Config } = answer as Record<string, unknown>;
  const state = (State ?? {}) as Record<string, unknown>;
  const config = (Config ?? {}) as { Image?: unknown; Labels?: Record<string, unknown> };
  const health = (state['Health'] ?? {}) as { Log?: { Output?: unknown }[] };
  return {
    ...parseState(answer),
    id: String(Id ?? id),
    name: String(Name ?? '').replace(/^\//, ''),
    image: String(config.Image ?? ''),
    service: String(config.Labels?.['com.docker.compose.service'] ?? ''),
    status: String(state['Status'] ?? ''),
    healthOutput: String(health.Log?.at(-1)?.Output ?? '').trim(),
    error: String(state['Error'] ?? ''),
  };
}

const OUTPUT_LIMIT = 65_536;

/** Last lines of a container's output, both streams, at most `lines`. Empty when docker has none. */
export async function lastLines(
  { id, terminal }: Pick<ProjectContainer, 'id' | 'terminal'>,
  lines: number,
  socketPath?: string,
): Promise<string> {
  const path = `/containers/${encodeURIComponent(id)}/logs?stdout=1&stderr=1&tail=${lines}`;
  const response = await dockerRequest('GET', path, socketPath).catch(() => undefined);
  if (response?.statusCode !== 200) {
    response?.resume();
    return '';
  }
  const frames = new DockerFrames(terminal);
  const parts: Uint8Array[] = [];
  let total = 0;
  try {
    for await (const chunk of response) {
      total += (chunk as Uint8Array).length;
      if (total > OUTPUT_LIMIT) break;
      for (const { message } of frames.push(chunk as Uint8Array)) parts.push(message);
    }
  } catch (thrown) {
    ui.debug(`the output of container ${id} is not complete: ${errorChain(thrown)}`);
  }
  return Buffer.concat(parts).toString('utf8').trim();
}

/**
 * Calls `onEvent` for each event of a project's containers until `signal` ends it.
 * @returns a promise that resolves as soon as docker listens for us; `ended` resolves when the stream is over
 * @throws DOCKER_UNAVAILABLE
 */
export async function watchProject(
  project: string,
  onEvent: () => void,
  signal: AbortSignal,
  socketPath?: string,
): Promise<{ ended: Promise<void> }> {
  const filters = encodeURIComponent(
    JSON.stringify({ type: ['container'], label: [`com.docker.compose.project=${project}`] }),
  );
  const response = await dockerRequest('GET', `/events?filters=${filters}`, socketPath, signal);
  if (response.statusCode !== 200) throw await complaint('watch containers', response);
  const ended = new Promise<void>((resolve) => {
    response.on('data', onEvent);
    for (const end of ['end', 'error', 'close']) response.on(end, () => resolve());
  });
  return { ended };
}

export interface ImageSummary {
  readonly id: string;
  /** names with tag or digest; empty for an image that lost its name */
  readonly references: readonly string[];
}

/** All images but intermediate ones. @throws DOCKER_UNAVAILABLE */
export async function listImages(socketPath?: string): Promise<ImageSummary[]> {
  const list = (await dockerJson('list images', '/images/json', { socketPath })) as Record<string, unknown>[];
  const names = (value: unknown): string[] =>
    Array.isArray(value) ? value.filter((name) => typeof name === 'string' && !name.startsWith('<none>')) : [];
  return list.map((image) => ({
    id: String(image['Id'] ?? ''),
    references: [...names(image['RepoTags']), ...names(image['RepoDigests'])],
  }));
}

/**
 * Removes one name of an image, or the image itself; docker refuses when a container uses it.
 * @returns false when docker refused because it is in use
 * @throws DOCKER_UNAVAILABLE
 */
export async function removeImage(reference: string, socketPath?: string): Promise<boolean> {
  // a name keeps its slashes and colons in the path (Engine API, image delete)
  const response = await dockerRequest('DELETE', `/images/${encodeURI(reference)}`, socketPath);
  if (response.statusCode === 200 || response.statusCode === 404) {
    response.resume();
    return true;
  }
  if (response.statusCode === 409) {
    response.resume();
    return false;
  }
  throw await complaint(`remove image ${reference}`, response);
}

/** Calls of the Docker Engine API that look at and change single containers and images (Engine API v1.41 and later). */
import { bodyText, complaint, dockerRequest } from './docker-api.ts';

export interface RestartPolicy {
  readonly Name: string;
  readonly MaximumRetryCount: number;
}

/** What `GET /containers/<id>/json` says about a container's life; only what is used here. */
export interface ContainerState {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly service: string;
  /** created, running, restarting, exited, dead, paused */
  readonly status: string;
  readonly exitCode: number;
  /** healthy, unhealthy, starting; empty without a health check */
  readonly health: string;
  /** last words of the health check */
  readonly healthOutput: string;
  /** docker's own words when it could not start the container */
  readonly error: string;
  readonly restarts: number;
  readonly oomKilled: boolean;
  /** Unix milliseconds, 0 = never */
  readonly startedAt: number;
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
export async function projectContainers(project: string, socketPath?: string): Promise<ContainerState[]> {
  const response = await dockerRequest('GET', `/containers/json?all=1&filters=${projectFilter(project)}`, socketPath);
  if (response.statusCode !== 200) throw await complaint('list containers', response);
  const list = JSON.parse(await bodyText(response)) as { Id?: string; Labels?: Record<string, string> }[];
  const ids = list
    .filter(({ Labels }) => Labels?.['com.docker.compose.oneoff'] !== 'True')
    .flatMap(({ Id }) => (Id === undefined ? [] : [Id]));
  const states = await Promise.all(ids.map((id) => inspectContainer(id, socketPath)));
  return states.filter((state) => state !== undefined);
}

/** undefined when there is no such container any more. @throws DOCKER_UNAVAILABLE */
export async function inspectContainer(id: string, socketPath?: string): Promise<ContainerState | undefined> {
  const response = await dockerRequest('GET', `/containers/${encodeURIComponent(id)}/json`, socketPath);
  if (response.statusCode === 404) {
    response.resume();
    return undefined;
  }
  if (response.statusCode !== 200) throw await complaint(`inspect container ${id}`, response);
  const { Id, Name, RestartCount, State, Config } = JSON.parse(await bodyText(response)) as Record<string, unknown>;
  const state = (State ?? {}) as Record<string, unknown>;
  const config = (Config ?? {}) as { Image?: unknown; Labels?: Record<string, unknown> };
  const health = (state['Health'] ?? {}) as { Status?: unknown; Log?: { Output?: unknown }[] };
  const healthStatus = String(health.Status ?? '');
  const started = Date.parse(String(state['StartedAt'] ?? ''));
  return {
    id: String(Id ?? id),
    name: String(Name ?? '').replace(/^\//, ''),
    image: String(config.Image ?? ''),
    service: String(config.Labels?.['com.docker.compose.service'] ?? ''),
    status: String(state['Status'] ?? ''),
    exitCode: Number(state['ExitCode'] ?? 0),
    health: healthStatus === 'none' ? '' : healthStatus,
    healthOutput: String(health.Log?.at(-1)?.Output ?? '').trim(),
    error: String(state['Error'] ?? ''),
    restarts: Number(RestartCount ?? 0),
    oomKilled: state['OOMKilled'] === true,
    startedAt: Number.isNaN(started) || started < 0 ? 0 : started,
  };
}

/** Last lines of a container's output, both streams, at most `lines`. Empty when docker has none. */
export async function lastLines(id: string, lines: number, socketPath?: string): Promise<string> {
  const path = `/containers/${encodeURIComponent(id)}/logs?stdout=1&stderr=1&tail=${lines}`;
  const response = await dockerRequest('GET', path, socketPath).catch(() => undefined);
  if (response?.statusCode !== 200) {
    response?.resume();
    return '';
  }
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of response) {
    total += (chunk as Uint8Array).length;
    if (total > 65_536) break;
    chunks.push(chunk as Uint8Array);
  }
  return unframe(Buffer.concat(chunks)).trim();
}

/** Frames of 8 bytes (stream, 3 zeros, length as big-endian u32) and content; a terminal's output has none (Engine API, attach). */
function unframe(bytes: Buffer): string {
  const parts: Buffer[] = [];
  let at = 0;
  while (at + 8 <= bytes.length) {
    if (bytes[at]! > 2 || bytes[at + 1] !== 0 || bytes[at + 2] !== 0 || bytes[at + 3] !== 0) return bytes.toString();
    const end = at + 8 + bytes.readUInt32BE(at + 4);
    parts.push(bytes.subarray(at + 8, end));
    at = end;
  }
  return Buffer.concat(parts).toString('utf8');
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
  const response = await dockerRequest('GET', '/images/json', socketPath);
  if (response.statusCode !== 200) throw await complaint('list images', response);
  const list = JSON.parse(await bodyText(response)) as Record<string, unknown>[];
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

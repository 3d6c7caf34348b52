/**
 * The few calls of the Docker Engine API that the guest needs, over dockerd's unix socket. (The usual client library
 * pulls in an ssh client with native code, which does not fit into one compiled binary.)
 */
import * as http from 'node:http';
import { PATHS } from '../config/paths.ts';
import { DstackError } from '../errors.ts';

/** One container as `GET /containers/json` tells it; only what is used here. */
export interface ContainerSummary {
  readonly Id: string;
  readonly Names: readonly string[];
  readonly Image: string;
  readonly ImageID: string;
  /** Unix seconds */
  readonly Created: number;
  readonly State: string;
  readonly Status: string;
  readonly Labels: Readonly<Record<string, string>>;
}

const ANSWER_LIMIT = 16 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

/** dockerd's socket: DOCKER_HOST if it is a unix socket, else the default. */
export function dockerSocket(): string {
  const host = process.env['DOCKER_HOST'];
  return host?.startsWith('unix://') ? host.slice('unix://'.length) : PATHS.dockerSocket;
}

/**
 * One request. @param timeoutMs how long the answer may take to begin, in milliseconds @returns the response with its body not yet read
 * @throws DOCKER_UNAVAILABLE
 */
export function dockerRequest(
  method: string,
  path: string,
  socketPath = dockerSocket(),
  signal?: AbortSignal,
  body?: unknown,
  timeoutMs = TIMEOUT_MS,
): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const content = body === undefined ? undefined : JSON.stringify(body);
    const headers = { host: 'docker', ...(content === undefined ? {} : { 'content-type': 'application/json' }) };
    const request = http.request(
      { socketPath, method, path, headers, agent: false, ...(signal ? { signal } : {}) },
      resolve,
    );
    const unavailable = (cause: unknown) =>
      reject(
        new DstackError('DOCKER_UNAVAILABLE', `docker does not answer on ${socketPath}`, { path: socketPath, cause }),
      );
    request.setTimeout(timeoutMs, () => request.destroy(new Error('no answer in time')));
    request.on('response', () => request.setTimeout(0));
    request.on('error', unavailable);
    request.end(content);
  });
}

/** The whole body as text. @throws DOCKER_UNAVAILABLE beyond the limit */
export async function bodyText(response: http.IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of response) {
    total += (chunk as Uint8Array).length;
    if (total > ANSWER_LIMIT)
      throw new DstackError('DOCKER_UNAVAILABLE', 'docker’s answer is too large', { value: total });
    chunks.push(chunk as Uint8Array);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What docker says in the body of an error. */
export function dockerMessage(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text).trim();
  } catch {
    return text.trim();
  }
}

/** The error that docker put into an answer. */
export async function complaint(what: string, response: http.IncomingMessage): Promise<DstackError> {
  const message = dockerMessage(await bodyText(response));
  return new DstackError('DOCKER_UNAVAILABLE', `docker refused to ${what}: ${message}`, {
    value: response.statusCode,
  });
}

export interface JsonOptions {
  readonly signal?: AbortSignal | undefined;
  readonly socketPath?: string | undefined;
  /** what is not there is undefined instead of an error */
  readonly ifFound?: boolean;
}

/** Asks for a JSON document. @throws DOCKER_UNAVAILABLE */
export async function dockerJson(what: string, path: string, options: JsonOptions = {}): Promise<unknown> {
  const response = await dockerRequest('GET', path, options.socketPath, options.signal);
  if (response.statusCode === 404 && options.ifFound) {
    response.resume();
    return undefined;
  }
  if (response.statusCode !== 200) throw await complaint(what, response);
  const text = await bodyText(response);
  try {
    return JSON.parse(text);
  } catch (thrown) {
    throw new DstackError('DOCKER_UNAVAILABLE', `docker’s answer to ${what} is not JSON`, { cause: thrown });
  }
}

/** True if dockerd answers. */
export async function dockerAnswers(socketPath?: string): Promise<boolean> {
  try {
    const response = await dockerRequest('GET', '/_ping', socketPath);
    response.resume();
    return response.statusCode === 200;
  } catch {
    return false;
  }
}

/** All containers, also stopped ones. @throws DOCKER_UNAVAILABLE */
export async function listContainers(socketPath?: string): Promise<ContainerSummary[]> {
  const answer = await dockerJson('list containers', '/containers/json?all=1', { socketPath });
  const list = answer as Partial<ContainerSummary>[];
  return list.map((item) => ({
    Id: String(item.Id ?? ''),
    Names: item.Names ?? [],
    Image: item.Image ?? '',
    ImageID: item.ImageID ?? '',
    Created: item.Created ?? 0,
    State: item.State ?? '',
    Status: item.Status ?? '',
    Labels: item.Labels ?? {},
  }));
}

/** Removes a container, running or not, with its anonymous volumes. @throws DOCKER_UNAVAILABLE */
export async function removeContainer(id: string, socketPath?: string): Promise<void> {
  const response = await dockerRequest('DELETE', `/containers/${encodeURIComponent(id)}?force=1&v=1`, socketPath);
  if (response.statusCode === 204 || response.statusCode === 404) response.resume();
  else throw await complaint(`remove container ${id}`, response);
}

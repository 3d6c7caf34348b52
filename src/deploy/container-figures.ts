/**
 * What docker knows about one container beyond its line in the list: health, restarts, and what it uses. Source: Docker
 * Engine API, inspect and stats of a container. Every figure that docker leaves out (a stopped container, another control
 * group version) is undefined.
 */
import { dockerJson } from './docker-api.ts';

export interface ContainerState {
  /** `starting`, `healthy`, `unhealthy`; undefined without a health check */
  readonly health?: string | undefined;
  /** starts by docker's restart policy */
  readonly restarts?: number | undefined;
  /** Unix milliseconds of the last start */
  readonly startedAt?: number | undefined;
  readonly exitCode?: number | undefined;
  /** the kernel ended it because it used too much memory */
  readonly outOfMemory: boolean;
  /** its output is one unframed stream */
  readonly terminal: boolean;
}

export interface ContainerUsage {
  /** seconds of processor time since the container started */
  readonly cpuSeconds?: number | undefined;
  /** bytes, without the file cache that can be dropped (as `docker stats` counts) */
  readonly memory?: number | undefined;
  /** bytes; the memory of the machine when the container has no limit */
  readonly memoryLimit?: number | undefined;
  readonly receivedBytes?: number | undefined;
  readonly sentBytes?: number | undefined;
}

type Tree = { readonly [key: string]: Tree | undefined };

const number = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;

/** Reads an inspect answer. */
export function parseState(answer: unknown): ContainerState {
  const { State, RestartCount, Config } = (answer ?? {}) as Tree;
  const health = State?.['Health']?.['Status'] as unknown;
  const started = Date.parse(String(State?.['StartedAt']));
  return {
    health: typeof health === 'string' && health !== 'none' && health !== '' ? health : undefined,
    restarts: number(RestartCount),
    // docker writes the year 1 for a container that has not run yet
    startedAt: started > 0 ? started : undefined,
    exitCode: number(State?.['ExitCode']),
    outOfMemory: (State?.['OOMKilled'] as unknown) === true,
    terminal: (Config?.['Tty'] as unknown) === true,
  };
}

/** Reads a stats answer, control groups of version 1 and 2 alike. */
export function parseUsage(answer: unknown): ContainerUsage {
  const { cpu_stats, memory_stats, networks } = (answer ?? {}) as Tree;
  const nanoseconds = number(cpu_stats?.['cpu_usage']?.['total_usage']);
  const used = number(memory_stats?.['usage']);
  const details = memory_stats?.['stats'];
  const cache = number(details?.['inactive_file']) ?? number(details?.['total_inactive_file']) ?? 0;
  const sum = (key: string): number | undefined => {
    const counts = Object.values(networks ?? {}).map((network) => number(network?.[key]));
    return counts.length === 0 ? undefined : counts.reduce<number>((total, count) => total + (count ?? 0), 0);
  };
  // docker answers with zeros for a container that does not run
  const running = used !== undefined;
  return {
    cpuSeconds: running && nanoseconds !== undefined ? nanoseconds / 1e9 : undefined,
    memory: used === undefined ? undefined : Math.max(0, used - cache),
    memoryLimit: number(memory_stats?.['limit']),
    receivedBytes: sum('rx_bytes'),
    sentBytes: sum('tx_bytes'),
  };
}

/** @throws DOCKER_UNAVAILABLE */
export async function containerState(id: string, signal?: AbortSignal): Promise<ContainerState> {
  return parseState(await dockerJson('inspect a container', `/containers/${encodeURIComponent(id)}/json`, { signal }));
}

/** One reading, without docker's own wait of a second for a second one. @throws DOCKER_UNAVAILABLE */
export async function containerUsage(id: string, signal?: AbortSignal): Promise<ContainerUsage> {
  const path = `/containers/${encodeURIComponent(id)}/stats?stream=false&one-shot=true`;
  return parseUsage(await dockerJson('count a container', path, { signal }));
}

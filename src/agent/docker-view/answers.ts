/**
 * What of docker's answers the agent gets to see: the fields that it uses, by name. Environment, arguments, mounts, network
 * settings, output of health checks and all labels but those of compose may hold secrets of the app and stay behind.
 */
import type { DockerCall } from './calls.ts';

/** `true` keeps a plain value (text, number, true or false); `[...]` applies to each element, `each` to each value. */
type Shape = true | readonly [Shape] | { readonly [key: string]: Shape };

const EACH = '*';
const NETWORK: Shape = { rx_bytes: true, tx_bytes: true };

const LABELS: Shape = {
  'com.docker.compose.project': true,
  'com.docker.compose.service': true,
  'com.docker.compose.oneoff': true,
};

const SHAPES: Readonly<Record<Exclude<DockerCall['kind'], 'logs'>, Shape>> = {
  list: [
    { Id: true, Names: [true], Image: true, ImageID: true, Created: true, State: true, Status: true, Labels: LABELS },
  ],
  inspect: {
    Id: true,
    Name: true,
    RestartCount: true,
    State: { Status: true, StartedAt: true, ExitCode: true, OOMKilled: true, Health: { Status: true } },
    Config: { Image: true, Tty: true, Labels: LABELS },
  },
  stats: {
    cpu_stats: { cpu_usage: { total_usage: true } },
    memory_stats: { usage: true, limit: true, stats: { inactive_file: true, total_inactive_file: true } },
    networks: { [EACH]: NETWORK },
  },
};

const isPlain = (value: unknown): boolean => ['string', 'number', 'boolean'].includes(typeof value);

/** What of a value has the shape; undefined when nothing has. */
function keep(value: unknown, shape: Shape): unknown {
  if (shape === true) return isPlain(value) ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  if (isList(shape)) return Array.isArray(value) ? value.map((item) => keep(item, shape[0])) : undefined;
  if (Array.isArray(value)) return undefined;
  const fields = value as Readonly<Record<string, unknown>>;
  const each = shape[EACH];
  const names = each === undefined ? Object.keys(shape) : Object.keys(fields);
  return Object.fromEntries(
    names
      .filter((name) => Object.hasOwn(fields, name))
      .map((name) => [name, keep(fields[name], each ?? (shape[name] as Shape))]),
  );
}

const isList = (shape: Shape): shape is readonly [Shape] => Array.isArray(shape);

/** Reduces docker's answer to what the agent shows of it. Null where docker said something else altogether. */
export function reduce(kind: keyof typeof SHAPES, answer: unknown): unknown {
  return keep(answer, SHAPES[kind]) ?? null;
}

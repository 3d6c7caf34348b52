/**
 * What the agent may ask docker: four calls of the Docker Engine API, each with exactly the parameters that the agent sends.
 * Whoever has docker's own socket is root, by one call that creates a container; so everything else is refused, and what is
 * sent on is written here from the parts that were recognised, never copied.
 */

/** what docker allows as a name, or an id: never a path */
export const CONTAINER_NAME = /^[a-zA-Z0-9][\w.-]{0,254}$/;

/** a compose project; docker is asked for the label that compose gives to its containers */
const PROJECT = /^[a-zA-Z0-9][\w.-]{0,254}$/;
const PROJECT_LABEL = 'com.docker.compose.project=';
const FLAG = /^[01]$/;
const SECONDS = /^\d{1,15}$/;
/** parameter -> form of its value; each must be there once */
const LOG_PARAMETERS: ReadonlyMap<string, RegExp> = new Map([
  ['stdout', FLAG],
  ['stderr', FLAG],
  ['follow', FLAG],
  ['timestamps', FLAG],
  ['since', SECONDS],
  ['until', SECONDS],
  ['tail', /^(?:all|\d{1,9})$/],
]);
const ONE_READING = 'stream=false&one-shot=true';

export type DockerCall =
  | { readonly kind: 'list'; readonly project: string | undefined }
  | { readonly kind: 'inspect'; readonly container: string }
  | { readonly kind: 'stats'; readonly container: string }
  | { readonly kind: 'logs'; readonly container: string; readonly query: string };

/**
 * Recognises a request.
 * @param path as it came, without the query; nothing in it may be percent-encoded
 * @param query as it came, without the question mark
 * @returns undefined for everything that is not one of the four calls
 */
export function recognise(method: string, path: string, query: string): DockerCall | undefined {
  if (method !== 'GET') return undefined;
  if (path === '/containers/json') return recogniseList(query);
  const [, container = '', action] = /^\/containers\/([^/]+)\/(json|stats|logs)$/.exec(path) ?? [];
  if (!CONTAINER_NAME.test(container)) return undefined;
  if (action === 'json') return query === '' ? { kind: 'inspect', container } : undefined;
  if (action === 'stats') return query === ONE_READING ? { kind: 'stats', container } : undefined;
  const parameters = logParameters(query);
  return parameters === undefined ? undefined : { kind: 'logs', container, query: parameters };
}

/** All containers, or those of one compose project. */
function recogniseList(query: string): DockerCall | undefined {
  if (query === 'all=1') return { kind: 'list', project: undefined };
  const given = new URLSearchParams(query);
  if (given.size !== 2 || given.get('all') !== '1') return undefined;
  let label: unknown;
  try {
    const filters = JSON.parse(given.get('filters') ?? '') as { label?: unknown[] };
    if (Object.keys(filters).join() === 'label' && filters.label?.length === 1) label = filters.label[0];
  } catch {}
  if (typeof label !== 'string' || !label.startsWith(PROJECT_LABEL)) return undefined;
  const project = label.slice(PROJECT_LABEL.length);
  return PROJECT.test(project) ? { kind: 'list', project } : undefined;
}

/** All parameters of a log, written again; undefined when one is missing, unknown, twice there or of another form. */
function logParameters(query: string): string | undefined {
  const given = new URLSearchParams(query);
  if (given.size !== LOG_PARAMETERS.size) return undefined;
  const written = new URLSearchParams();
  for (const [name, form] of LOG_PARAMETERS) {
    const value = given.get(name);
    if (value === null || !form.test(value)) return undefined;
    written.set(name, value);
  }
  return written.toString();
}

const projectFilter = (project: string): string =>
  encodeURIComponent(JSON.stringify({ label: [`${PROJECT_LABEL}${project}`] }));

/** Path and query of a call as docker is asked it. */
export function dockerPath(call: DockerCall): string {
  switch (call.kind) {
    case 'list':
      return `/containers/json?all=1${call.project === undefined ? '' : `&filters=${projectFilter(call.project)}`}`;
    case 'inspect':
      return `/containers/${call.container}/json`;
    case 'stats':
      return `/containers/${call.container}/stats?${ONE_READING}`;
    case 'logs':
      return `/containers/${call.container}/logs?${call.query}`;
  }
}

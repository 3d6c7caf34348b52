/**
 * A dockerd that knows the paths our code asks for, on a unix socket. It obeys the Engine API's rules: other methods and
 * unknown containers are refused, a running container is removed only by force, the kind of a log stream follows from the
 * container's terminal, `follow` keeps a log open, and a container that does not run has empty statistics.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';

export interface FakeContainer {
  Id: string;
  Names?: string[];
  Image?: string;
  ImageID?: string;
  Created?: number;
  Labels?: Record<string, string>;
  State?: string;
  Status?: string;
  /** parts of an inspect answer */
  inspect?: { State?: Record<string, unknown>; RestartCount?: number; Config?: Record<string, unknown> };
  /** a stats answer while it runs */
  stats?: Record<string, unknown>;
  log?: Uint8Array;
}

export interface FakeDocker {
  readonly containers: FakeContainer[];
  readonly requests: string[];
  /** readers of logs that are still connected */
  readonly readers: Set<ServerResponse>;
  close(): Promise<void>;
}

export interface FakeDockerOptions {
  /** content type of every log; a docker older than 23 has the raw type for all */
  readonly logType?: string;
  /** paths that are never answered */
  readonly hang?: RegExp;
  /** how long every answer takes */
  readonly delayMs?: number;
  /** what it says to a login; without it every login succeeds */
  readonly auth?: (credentials: Record<string, string>) => { status: number; message: string };
  /** names of the images that it has */
  readonly images?: readonly string[];
}

const MULTIPLEXED = 'application/vnd.docker.multiplexed-stream';
const RAW = 'application/vnd.docker.raw-stream';

export async function fakeDocker(
  path: string,
  containers: FakeContainer[] = [],
  options: FakeDockerOptions = {},
): Promise<FakeDocker> {
  const requests: string[] = [];
  const readers = new Set<ServerResponse>();
  const server: Server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://docker');
    requests.push(`${request.method} ${request.url}`);
    if (options.hang?.test(url.pathname)) return;
    if (options.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, options.delayMs));
    const json = (status: number, value: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    const { method } = request;
    if (url.pathname === '/_ping') return void response.end('OK');
    if (url.pathname === '/auth' && method === 'POST') {
      const chunks: Uint8Array[] = [];
      for await (const chunk of request) chunks.push(chunk as Uint8Array);
      const credentials = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
      const { status, message } = options.auth?.(credentials) ?? { status: 200, message: '' };
      return json(status, status === 200 ? { Status: 'Login Succeeded' } : { message });
    }
    if (url.pathname === '/images/json' && method === 'GET')
      return json(
        200,
        (options.images ?? []).map((name) => ({ Id: name, RepoTags: [name], RepoDigests: null })),
      );
    if (url.pathname === '/containers/json' && method === 'GET') {
      const all = url.searchParams.get('all') === '1';
      const { label: wanted = [] } = JSON.parse(url.searchParams.get('filters') ?? '{}') as { label?: string[] };
      const has = (labels: Record<string, string>, [key = '', value]: string[]) =>
        Object.hasOwn(labels, key) && (value === undefined || labels[key] === value);
      return json(
        200,
        containers
          .filter(({ State }) => all || State === 'running')
          .filter(({ Labels = {} }) => wanted.every((label) => has(Labels, label.split('='))))
          .map(({ inspect: _, stats: __, log: ___, ...summary }) => summary),
      );
    }
    const [, encoded, action = ''] = /^\/containers\/([^/]+)(?:\/(\w+))?$/.exec(url.pathname) ?? [];
    const id = encoded === undefined ? undefined : decodeURIComponent(encoded);
    const index = containers.findIndex((container) => container.Id === id || container.Names?.includes(`/${id}`));
    const container = containers[index];
    if (id === undefined || container === undefined) return json(404, { message: `No such container: ${id}` });
    const running = container.State === 'running';
    if (action === 'logs' && method === 'GET') {
      const terminal = container.inspect?.Config?.['Tty'] === true;
      response.writeHead(200, { 'content-type': options.logType ?? (terminal ? RAW : MULTIPLEXED) });
      response.write(container.log ?? '');
      if (url.searchParams.get('follow') !== '1' || !running) return void response.end();
      readers.add(response);
      response.on('close', () => readers.delete(response));
      return;
    }
    if (action === 'json' && method === 'GET') {
      const { State = {}, ...rest } = container.inspect ?? {};
      const Name = container.Names?.[0] ?? '';
      return json(200, {
        Id: container.Id,
        Name,
        RestartCount: 0,
        State: { Status: container.State, ...State },
        ...rest,
      });
    }
    if (action === 'stats' && method === 'GET') {
      if (url.searchParams.get('stream') !== 'false') return json(400, { message: 'this fake does not stream' });
      return json(
        200,
        running ? (container.stats ?? {}) : { cpu_stats: { cpu_usage: { total_usage: 0 } }, memory_stats: {} },
      );
    }
    if (action === '' && method === 'DELETE') {
      if (running && url.searchParams.get('force') !== '1') return json(409, { message: 'container is running' });
      containers.splice(index, 1);
      response.writeHead(204);
      return void response.end();
    }
    json(405, { message: 'not allowed' });
  });
  await new Promise<void>((resolve) => server.listen(path, () => resolve()));
  return {
    containers,
    requests,
    readers,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

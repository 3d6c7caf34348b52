/** A dockerd that knows four paths, on a unix socket; it refuses what the real one refuses. */
import { createServer, type Server } from 'node:http';

export interface FakeContainer {
  Id: string;
  Names?: string[];
  Labels?: Record<string, string>;
  State?: string;
}

export interface FakeDocker {
  readonly containers: FakeContainer[];
  readonly requests: string[];
  close(): Promise<void>;
}

export async function fakeDocker(
  path: string,
  containers: FakeContainer[] = [],
  log?: { type: string; bytes: Uint8Array },
): Promise<FakeDocker> {
  const requests: string[] = [];
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://docker');
    requests.push(`${request.method} ${request.url}`);
    const json = (status: number, value: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(value));
    };
    if (url.pathname === '/_ping') return void response.end('OK');
    if (url.pathname === '/containers/json') return json(200, containers);
    const [, id, logs] = /^\/containers\/([^/]+)(\/logs)?$/.exec(url.pathname) ?? [];
    const index = containers.findIndex((container) => container.Id === id || container.Names?.includes(`/${id}`));
    if (id === undefined || index < 0) return json(404, { message: `No such container: ${id}` });
    if (logs) {
      response.writeHead(200, { 'content-type': log?.type ?? 'application/vnd.docker.multiplexed-stream' });
      return void response.end(log?.bytes ?? '');
    }
    if (request.method === 'DELETE') {
      if (containers[index]?.State === 'running' && url.searchParams.get('force') !== '1')
        return json(409, { message: 'container is running' });
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
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

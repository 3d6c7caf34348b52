/** A dockerd that writes down what it is told to do with containers and images, and refuses what it is told to refuse. */
import { createServer } from 'node:http';

export interface ControlDocker {
  readonly path: string;
  /** `METHOD path body` */
  readonly requests: string[];
  /** ids of containers and names of images */
  readonly refuse: Set<string>;
  images: { Id: string; RepoTags?: string[] | null; RepoDigests?: string[] | null }[];
  close(): Promise<void>;
}

export async function controlDocker(path: string): Promise<ControlDocker> {
  const state: Omit<ControlDocker, 'close'> = { path, requests: [], refuse: new Set(), images: [] };
  const server = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const url = decodeURI(request.url ?? '/');
    const answer = (status: number, value?: unknown) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(value === undefined ? undefined : JSON.stringify(value));
    };
    if (url === '/images/json') return answer(200, state.images);
    state.requests.push(`${request.method} ${url} ${Buffer.concat(chunks)}`);
    const [, kind = '', rest = ''] = /^\/(containers|images)\/(.*)$/.exec(url) ?? [];
    const name = kind === 'containers' ? (rest.split('/')[0] ?? '') : rest;
    if (state.refuse.has(name)) return answer(kind === 'images' ? 409 : 500, { message: 'not now' });
    if (kind === 'images') return answer(200, [{ Untagged: name }]);
    return rest.endsWith('/update') ? answer(200, { Warnings: null }) : answer(204);
  });
  await new Promise<void>((resolve) => server.listen(path, () => resolve()));
  return Object.assign(state, {
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

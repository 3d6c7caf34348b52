/** The agent's docker socket: its own questions are answered as docker would, and nothing else ever reaches docker. */
import { mkdtempSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { recognise } from '../../../src/agent/docker-view/calls.ts';
import { dockerView } from '../../../src/agent/docker-view/handler.ts';
import { Containers } from '../../../src/agent/figures/containers.ts';
import { containerLogs } from '../../../src/agent/figures/logs.ts';
import { containerState, containerUsage } from '../../../src/deploy/container-figures.ts';
import { dockerRequest, listContainers } from '../../../src/deploy/docker-api.ts';
import { projectContainers } from '../../../src/deploy/docker-control.ts';
import { HttpServer } from '../../../src/http/http.ts';
import { type FakeContainer, type FakeDocker, fakeDocker } from '../../deploy/fake-docker.ts';

const SECRET = 'planted-secret';
const CONTAINER = {
  Id: 'ab12',
  Names: ['/web'],
  Image: 'web:1',
  ImageID: 'sha256:00',
  Created: 1_700_000_000,
  State: 'running',
  Status: 'Up 3 minutes (healthy)',
  Labels: { token: SECRET, 'com.docker.compose.project': 'shop', 'com.docker.compose.oneoff': 'False' },
  Command: `serve --token ${SECRET}`,
  Mounts: [{ Source: `/${SECRET}` }],
  NetworkSettings: { Networks: { [SECRET]: {} } },
  inspect: {
    State: {
      StartedAt: '2026-01-02T03:04:05Z',
      ExitCode: 0,
      OOMKilled: false,
      Health: { Status: 'healthy', Log: [SECRET] },
    },
    RestartCount: 2,
    Config: {
      Tty: false,
      Image: 'web:1',
      Labels: { token: SECRET, 'com.docker.compose.service': 'web' },
      Env: [`TOKEN=${SECRET}`],
      Cmd: [SECRET],
    },
  },
  stats: {
    cpu_stats: { cpu_usage: { total_usage: 3e9, percpu_usage: [1] }, online_cpus: 2 },
    memory_stats: { usage: 5000, limit: 9000, stats: { inactive_file: 1000, [SECRET]: 1 } },
    networks: { eth0: { rx_bytes: 7, tx_bytes: 8, rx_errors: 9 } },
    name: SECRET,
  },
  log: Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, 3]), Buffer.from('hi\n')]),
} satisfies FakeContainer & Record<string, unknown>;

let dir = '';
let docker: FakeDocker;
let server: net.Server;
let unreachable = 0;
const dockerPath = () => join(dir, 'docker.sock');
const viewPath = () => join(dir, 'view.sock');
const host = process.env['DOCKER_HOST'];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'dstack-view-'));
  const view = new HttpServer({
    handler: dockerView({ dockerSocket: dockerPath(), onUnreachable: () => unreachable++ }),
  });
  server = net.createServer({ allowHalfOpen: true }, (socket) => view.accept(socket));
  await new Promise<void>((resolve) => server.listen(viewPath(), resolve));
});
afterAll(() => {
  server.close();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  process.env['DOCKER_HOST'] = `unix://${viewPath()}`;
  docker = await fakeDocker(dockerPath(), [structuredClone(CONTAINER)]);
});
afterEach(async () => {
  if (host === undefined) delete process.env['DOCKER_HOST'];
  else process.env['DOCKER_HOST'] = host;
  await docker.close();
});

/** One request with any method, path and body, as a hostile agent would send it. */
function ask(method: string, path: string, body = ''): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath: viewPath(), method, path, agent: false }, async (response) => {
      let text = '';
      for await (const chunk of response) text += String(chunk);
      resolve({ status: response.statusCode, text });
    });
    request.on('error', reject);
    request.end(body);
  });
}

describe('the questions of the agent', () => {
  it('are answered as docker answers them', async () => {
    const seen = async () => ({
      list: (await listContainers()).map(({ Labels: _, ...rest }) => rest),
      project: (await projectContainers('shop')).map(({ healthOutput: _, ...rest }) => rest),
      state: await containerState('web'),
      usage: await containerUsage('ab12'),
      reports: (await new Containers().list()).map(({ cpus: _, ...rest }) => rest),
    });
    const through = await seen();
    process.env['DOCKER_HOST'] = `unix://${dockerPath()}`;
    expect(through).toEqual(await seen());
    expect(through.project).toMatchObject([{ name: 'web', service: 'web', status: 'running', health: 'healthy' }]);
    expect(through.state).toMatchObject({ health: 'healthy', restarts: 2, exitCode: 0, terminal: false });
    expect(through.usage).toEqual({ cpuSeconds: 3, memory: 4000, memoryLimit: 9000, receivedBytes: 7, sentBytes: 8 });
  });

  it.each(['', 'tail=all', 'tail=+7', 'tail=rubbish', 'tail=', 'since=1h&until=99999&timestamps&tail=5'])(
    'bring the log of a container, with query %j',
    async (query) => {
      const request = { method: 'GET', path: '/logs/web', query: `text&bare&${query}`, headers: {} };
      const { body } = await containerLogs({ ...request, body: () => new Uint8Array() });
      let text = '';
      for await (const chunk of body as AsyncIterable<Uint8Array>) text += Buffer.from(chunk).toString();
      expect(text).toBe('hi\n');
    },
  );

  it('end docker’s side of a log when the reader leaves', async () => {
    const path = '/containers/web/logs?stdout=1&stderr=1&follow=1&timestamps=0&since=0&until=0&tail=all';
    const response = await dockerRequest('GET', path, viewPath());
    expect(response.headers['content-type']).toBe('application/vnd.docker.multiplexed-stream');
    await expect.poll(() => docker.readers.size).toBe(1);
    response.destroy();
    await expect.poll(() => docker.readers.size).toBe(0);
  });

  it('get docker’s own words for a container that is not there', async () => {
    expect(await ask('GET', '/containers/none/json')).toEqual({
      status: 404,
      text: '{"message":"No such container: none"}',
    });
  });

  it('are told when docker does not answer', async () => {
    await docker.close();
    const before = unreachable;
    expect((await ask('GET', '/containers/json?all=1')).status).toBe(503);
    expect(unreachable).toBe(before + 1);
    await expect(listContainers()).rejects.toMatchObject({ code: 'DOCKER_UNAVAILABLE' });
    docker = await fakeDocker(dockerPath(), []);
  });
});

it('keeps environment, arguments, labels, mounts and networks of containers to itself', async () => {
  const paths = ['/containers/json?all=1', '/containers/web/json', '/containers/web/stats?stream=false&one-shot=true'];
  for (const path of paths) {
    const { status, text } = await ask('GET', path);
    expect([status, text.includes(SECRET)], path).toEqual([200, false]);
  }
});

const LOG = 'stdout=1&stderr=1&follow=0&timestamps=0&since=0&until=0';
it.each([
  ['POST', '/containers/create'],
  ['POST', '/containers/create?name=x'],
  ['POST', '/containers/json?all=1'],
  ['POST', '/containers/web/json'],
  ['POST', '/containers/web/exec'],
  ['POST', '/containers/web/start'],
  ['DELETE', '/containers/web?force=1'],
  ['PUT', '/containers/web/archive?path=/'],
  ['GET', '/containers/web/archive?path=/etc'],
  ['GET', '/containers/web/export'],
  ['GET', '/containers/web/top'],
  ['GET', '/containers/json'],
  ['GET', '/containers/json?all=1&size=1'],
  ['GET', '/containers/json?all=1&filters=%7B%7D'],
  ['GET', '/containers/json?all=1&filters=null'],
  ['GET', '/containers/json?all=1&filters={'],
  ['GET', '/containers/json?all=1&filters={"label":["token=x"]}'],
  ['GET', '/containers/json?all=1&filters={"label":["com.docker.compose.project=a"],"volume":["x"]}'],
  ['GET', '/containers/json?all=1&filters={"label":["com.docker.compose.project=a/b"]}'],
  ['GET', '/v1.43/containers/json?all=1'],
  ['GET', '/containers/web/json?size=1'],
  ['GET', '/containers/web/stats'],
  ['GET', '/containers/web/stats?stream=true'],
  ['GET', '/containers/../info/json'],
  ['GET', '/containers/%2e%2e/json'],
  ['GET', '/containers/web%2f..%2finfo/json'],
  ['GET', '/containers//json'],
  ['GET', '//containers/json?all=1'],
  ['GET', '/containers/web/logs'],
  ['GET', `/containers/web/logs?${LOG}`],
  ['GET', `/containers/web/logs?${LOG}&tail=1&details=1`],
  ['GET', `/containers/web/logs?${LOG}&tail=1&tail=2`],
  ['GET', `/containers/web/logs?${LOG}&tail=-1`],
  ['GET', `/containers/web/logs?${LOG}&tail=all%20`],
  ['GET', '/info'],
  ['GET', '/version'],
  ['GET', '/_ping'],
  ['GET', '/images/json'],
  ['GET', '/secrets'],
  ['GET', '/events'],
  ['HEAD', '/containers/json?all=1'],
  ['OPTIONS', '/'],
])('refuses %s %s without asking docker', async (method, path) => {
  const { status } = await ask(method, path, method === 'POST' ? '{"Image":"web:1"}' : '');
  expect(status).toBe(403);
  expect(docker.requests).toEqual([]);
});

it('refuses to hand the connection over, as docker does for exec and attach', async () => {
  const socket = net.connect(viewPath());
  socket.write('GET /containers/web/json HTTP/1.1\r\nhost: d\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n');
  const [first] = await new Promise<Buffer[]>((resolve) => socket.once('data', (data) => resolve([data])));
  socket.destroy();
  expect(first?.toString('latin1')).toMatch(/^HTTP\/1\.1 [2-4]\d\d /);
  expect(first?.toString('latin1')).not.toMatch(/^HTTP\/1\.1 101/);
});

it('recognises nothing beyond the four calls, whatever is put around them', () => {
  const part = fc.constantFrom('/', 'containers', 'json', 'web', 'logs', 'stats', '..', '.', '%2f', '', ' ', '\n', '?');
  const path = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''));
  const query = fc.oneof(fc.constantFrom('', 'all=1', 'stream=false&one-shot=true', `${LOG}&tail=1`), fc.string());
  const allowed = /^\/containers\/(?:json|[a-zA-Z0-9][\w.-]*\/(?:json|logs|stats))$/;
  fc.assert(
    fc.property(fc.constantFrom('GET', 'POST', 'DELETE', 'get'), path, query, (method, at, after) => {
      const call = recognise(method, at, after);
      if (call !== undefined) expect([method, allowed.test(at)]).toEqual(['GET', true]);
    }),
    { numRuns: 2000 },
  );
});

/** Holding containers back, on records as docker writes them. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { holdContainers, releaseContainers } from '../../src/deploy/hold.ts';
import { type ControlDocker, controlDocker } from './control-docker.ts';

let root: string;
let docker: ControlDocker;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'hold-'));
  docker = await controlDocker(join(root, 'docker.sock'));
});
afterEach(async () => {
  await docker.close();
  rmSync(root, { recursive: true });
});

const id = (n: number): string => String(n).repeat(64).slice(0, 64);
const folder = (n: number): string => join(root, 'containers', id(n));

interface Made {
  policy?: string;
  stopped?: boolean;
  exitCode?: number;
  labels?: Record<string, string>;
}

function container(n: number, { policy = 'always', stopped = false, exitCode = 0, labels = {} }: Made = {}): void {
  mkdirSync(folder(n), { recursive: true });
  const hostConfig = {
    Binds: ['/a:/b'],
    RestartPolicy: { Name: policy, MaximumRetryCount: policy === 'on-failure' ? 5 : 0 },
  };
  writeFileSync(join(folder(n), 'hostconfig.json'), JSON.stringify(hostConfig));
  const config = {
    ID: id(n),
    State: { ExitCode: exitCode },
    HasBeenManuallyStopped: stopped,
    Config: { Labels: labels },
  };
  writeFileSync(join(folder(n), 'config.v2.json'), JSON.stringify(config));
}

const policyOf = (n: number) => JSON.parse(readFileSync(join(folder(n), 'hostconfig.json'), 'utf8'));
const web = { 'com.docker.compose.project': 'dstack', 'com.docker.compose.service': 'web' };

describe('holding containers', () => {
  it('takes the restart policy away and nothing else', async () => {
    container(1, { labels: web });
    container(2, { policy: 'no' });
    expect(await holdContainers(root)).toMatchObject([{ id: id(1), policy: { Name: 'always' }, service: 'web' }]);
    expect(policyOf(1)).toEqual({ Binds: ['/a:/b'], RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } });
    expect(policyOf(2).RestartPolicy.Name).toBe('no');
  });

  it('gives it back through docker, once, and starts what compose does not', async () => {
    container(1, { labels: web });
    container(2, { policy: 'on-failure', exitCode: 1 });
    await holdContainers(root);
    expect(await releaseContainers(root, { project: 'dstack', socketPath: docker.path })).toEqual([]);
    expect(docker.requests).toEqual([
      `POST /containers/${id(1)}/update {"RestartPolicy":{"Name":"always","MaximumRetryCount":0}}`,
      `POST /containers/${id(2)}/update {"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":5}}`,
      `POST /containers/${id(2)}/start `,
    ]);
    docker.requests.length = 0;
    expect(await releaseContainers(root, { project: 'dstack', socketPath: docker.path })).toEqual([]);
    expect(docker.requests).toEqual([]);
  });

  it.each([
    ['always', false, 0, true],
    ['always', true, 0, true],
    ['unless-stopped', false, 0, true],
    ['unless-stopped', true, 0, false],
    ['on-failure', false, 0, false],
    ['on-failure', false, 1, true],
    ['on-failure', true, 1, false],
  ])('policy %s, stopped by hand %s, exit %d: starts with docker %s', async (policy, stopped, exitCode, starts) => {
    container(1, { policy, stopped, exitCode });
    expect(await holdContainers(root)).toMatchObject([{ starts }]);
  });

  it('remembers the first policy over boots that never came to the start', async () => {
    container(1);
    await holdContainers(root);
    expect(await holdContainers(root)).toMatchObject([{ policy: { Name: 'always' } }]);
    await releaseContainers(root, { socketPath: docker.path });
    expect(docker.requests[0]).toContain('"Name":"always"');
  });

  it('takes the newer policy when a power cut came between giving it back and forgetting it', async () => {
    container(1, { policy: 'always' });
    await holdContainers(root);
    container(1, { policy: 'unless-stopped' }); // docker wrote it, our file is still there
    expect(await holdContainers(root)).toMatchObject([{ policy: { Name: 'unless-stopped' } }]);
  });

  it('keeps holding what docker refuses, and lets the others go', async () => {
    container(1);
    container(2);
    await holdContainers(root);
    docker.refuse.add(id(1));
    expect(await releaseContainers(root, { socketPath: docker.path })).toMatchObject([{ id: id(1) }]);
    docker.refuse.clear();
    expect(await releaseContainers(root, { socketPath: docker.path })).toEqual([]);
    expect(docker.requests.filter((line) => line.includes('/start'))).toHaveLength(2);
  });

  it('leaves damaged records, links and foreign folders alone', async () => {
    container(1);
    writeFileSync(join(folder(1), 'hostconfig.json'), '{');
    mkdirSync(join(root, 'containers', 'not-an-id'));
    mkdirSync(join(root, 'elsewhere'));
    writeFileSync(join(root, 'elsewhere/hostconfig.json'), '{"RestartPolicy":{"Name":"always"}}');
    symlinkSync(join(root, 'elsewhere'), folder(3));
    expect(await holdContainers(root)).toEqual([]);
    expect(readFileSync(join(root, 'elsewhere/hostconfig.json'), 'utf8')).toContain('always');
  });

  it('does not believe a kept record that names another container', async () => {
    container(1, { policy: 'no' });
    const record = {
      id: id(2),
      policy: { Name: 'always', MaximumRetryCount: 0 },
      starts: true,
      service: '',
      project: '',
    };
    writeFileSync(join(folder(1), 'dstack-held.json'), JSON.stringify(record));
    expect(await holdContainers(root)).toEqual([]);
    expect(await releaseContainers(root, { socketPath: docker.path })).toEqual([]);
    expect(docker.requests).toEqual([]);
  });

  it('has nothing to do on a new disk', async () => expect(await holdContainers(join(root, 'new'))).toEqual([]));
});

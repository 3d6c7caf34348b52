import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppHealth, judgeStatusFile } from '../../../src/agent/figures/app-health.ts';
import { parseAppCompose } from '../../../src/config/app-compose.ts';
import { type FakeContainer, type FakeDocker, fakeDocker } from '../../deploy/fake-docker.ts';

const compose = (requirements: Record<string, unknown>, more: Record<string, unknown> = {}) =>
  parseAppCompose(
    Buffer.from(
      JSON.stringify({
        manifest_version: '3',
        name: 'a',
        runner: 'docker-compose',
        docker_compose_file: 'name: shop\nservices:\n  web:\n    image: nginx\n',
        requirements,
        ...more,
      }),
    ),
    'app-compose.json',
  );
const container = (name: string, status: string, health?: string, project = 'shop'): FakeContainer => ({
  Id: Buffer.from(name.padEnd(32, '-')).toString('hex'),
  Names: [`/${name}`],
  State: status,
  Labels: { 'com.docker.compose.project': project },
  inspect: { State: { Status: status, ...(health === undefined ? {} : { Health: { Status: health } }) } },
});
const PENDING = { healthy: false, unhealthy: [{ name: '<health>', status: 'nobody has looked yet' }], error: '' };
const FINE = { healthy: true, unhealthy: [], error: '' };

describe('health of an app that is judged by its containers', () => {
  let dir: string;
  let docker: FakeDocker | undefined;
  const before = process.env['DOCKER_HOST'];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'health-'));
    process.env['DOCKER_HOST'] = `unix://${dir}/docker.sock`;
  });
  afterEach(async () => {
    await docker?.close();
    docker = undefined;
    if (before === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = before;
    rmSync(dir, { recursive: true });
  });
  const judged = async (...containers: FakeContainer[]) => {
    docker = await fakeDocker(`${dir}/docker.sock`, containers);
    const health = new AppHealth(compose({ health_check: true }));
    await health.refresh();
    return health.verdict();
  };

  it('is not healthy before the first look, and always healthy when nobody asked', async () => {
    expect(new AppHealth(compose({ health_check: true })).verdict()).toEqual(PENDING);
    for (const requirements of [{}, { health_check: false }]) {
      const health = new AppHealth(compose(requirements));
      expect([health.watched, health.verdict()]).toEqual([false, FINE]);
    }
  });
  it('counts those that declare a health check', async () => {
    expect(await judged(container('web', 'running', 'healthy'), container('init', 'exited'))).toEqual(FINE);
  });
  it.each([
    ['starting', 'running', 'starting', 'starting'],
    ['unhealthy', 'running', 'unhealthy', 'unhealthy'],
    ['exited with a good last word', 'exited', 'healthy', 'exited'],
    ['a word of a later docker', 'running', 'degraded', 'degraded'],
  ])('holds traffic back from a container that is %s', async (_, status, health, told) => {
    expect(await judged(container('web', 'running', 'healthy'), container('api', status, health))).toEqual({
      healthy: false,
      unhealthy: [{ name: 'api', status: told }],
      error: '',
    });
  });
  it('is not healthy without containers, or without a single check', async () => {
    expect(await judged()).toMatchObject({ healthy: false, unhealthy: [{ name: '<compose>' }] });
    await docker?.close();
    expect(await judged(container('web', 'running'))).toEqual({
      healthy: false,
      unhealthy: [{ name: '<compose>', status: 'not one container has a health check' }],
      error: '',
    });
  });
  it('does not judge containers of another project', async () => {
    const left = container('old', 'exited', 'unhealthy', 'dstack');
    expect(await judged(container('web', 'running', 'healthy'), left)).toEqual(FINE);
  });
  it('keeps its verdict while docker is away for a moment, then says that it sees nothing', async () => {
    const health = new AppHealth(compose({ health_check: true }));
    docker = await fakeDocker(`${dir}/docker.sock`, [container('web', 'running', 'healthy')]);
    await health.refresh();
    await docker.close();
    docker = undefined;
    for (const round of [1, 2]) {
      await health.refresh();
      expect([round, health.verdict()]).toEqual([round, FINE]);
    }
    await health.refresh();
    expect(health.verdict()).toMatchObject({
      healthy: false,
      error: expect.stringContaining('docker does not answer'),
    });
    docker = await fakeDocker(`${dir}/docker.sock`, [container('web', 'running', 'healthy')]);
    await health.refresh();
    expect(health.verdict()).toEqual(FINE);
  });
  it('a docker that was never there is not a pass', async () => {
    const health = new AppHealth(compose({ health_check: true }));
    await health.refresh();
    expect(health.verdict()).toEqual(PENDING);
  });
  it('an app without containers must say it itself', async () => {
    const health = new AppHealth(compose({ health_check: true }, { runner: 'bash', bash_script: 'true' }));
    await health.refresh();
    expect(health.verdict()).toMatchObject({
      healthy: false,
      unhealthy: [{ name: '<bash>', status: 'runner bash needs requirements.health_status_file' }],
    });
  });
});

describe('health of an app that says it itself', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'health-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const now = () => Math.floor(Date.now() / 1000);
  const look = async (path = `${dir}/health`) => {
    const health = new AppHealth(compose({ health_check: true, health_status_file: path }));
    await health.refresh();
    return health.verdict();
  };
  const bad = (status: string | RegExp) => ({
    healthy: false,
    unhealthy: [{ name: '<health_status_file>', status: expect.stringMatching(status) }],
    error: '',
  });

  it.each(['healthy\n', 'HEALTHY\r\n', ' Healthy \n'])('takes %j of this minute', async (word) => {
    writeFileSync(`${dir}/health`, `${word}${now()}\n`);
    expect(await look()).toEqual(FINE);
  });
  it.each([
    ['healthy', 61, 'more than 60 s'],
    ['healthy', -3600, 'lies in the future'],
    ['unhealthy', 0, 'the app reports unhealthy'],
    ['fine', 0, 'neither healthy nor unhealthy'],
    ['', 0, 'neither healthy nor unhealthy'],
  ])('refuses %j of %i seconds ago', async (word, age, status) => {
    writeFileSync(`${dir}/health`, `${word}\n${now() - age}\n`);
    expect(await look()).toEqual(bad(status));
  });
  it.each([
    '',
    'healthy',
    'healthy\n',
    'healthy\nnow\n',
    'healthy\n-5\n',
    `healthy\n${'9'.repeat(20)}\n`,
    'healthy\n1e9\n',
  ])('refuses the text %j', (text) => expect(judgeStatusFile(text, 1_000_000_000)).toEqual(bad('not a Unix time')));
  it('an app that writes milliseconds is not healthy for thousands of years', () =>
    expect(judgeStatusFile(`healthy\n${1_700_000_000_000}\n`, 1_700_000_000)).toEqual(bad('in the future')));
  it('does not quote what it read', async () => {
    writeFileSync(`${dir}/health`, 'SECRET\nSECRET\n');
    expect(JSON.stringify(await look())).not.toContain('SECRET');
  });
  it('follows links, and refuses what would block or is too long', async () => {
    writeFileSync(`${dir}/real`, `healthy\n${now()}\n`);
    symlinkSync(`${dir}/real`, `${dir}/link`);
    expect(await look(`${dir}/link`)).toEqual(FINE);
    execFileSync('mkfifo', [`${dir}/fifo`]);
    expect(await look(`${dir}/fifo`)).toEqual(bad('not regular'));
    expect(await look(dir)).toEqual(bad('not regular'));
    writeFileSync(`${dir}/long`, `healthy\n${now()}\n${'x'.repeat(5000)}`);
    expect(await look(`${dir}/long`)).toEqual(bad('too large'));
    expect(await look(`${dir}/none`)).toEqual(bad('does not exist'));
  });
});

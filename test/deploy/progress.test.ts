import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { activeServices, parseComposeModel } from '../../src/deploy/compose-model.ts';
import { ComposeProgress } from '../../src/deploy/compose-progress.ts';
import type { ProjectContainer } from '../../src/deploy/docker-control.ts';
import { containerVerdict, failureText, serviceStatuses } from '../../src/deploy/service-status.ts';

const feed = (text: string): ComposeProgress => {
  const progress = new ComposeProgress();
  for (const line of text.split('\n')) progress.feed(line);
  return progress;
};

/** Output of docker compose 2.26 without a terminal. */
const PULL = ` web Pulling
 db Pulling
 aabbccddeeff Pulling fs layer
 001122334455 Pulling fs layer
 aabbccddeeff Downloading [==>   ]  1.2MB/3MB
 aabbccddeeff Download complete
 aabbccddeeff Pull complete
 db Pulled`;

describe('progress of docker compose', () => {
  it('counts images and layers while it pulls', () => expect(feed(PULL).text(2)).toBe('images 1/2, layers 1/2'));

  it('counts containers when all images are there', () => {
    const lines = `${PULL}
 001122334455 Already exists
 web Pulled
 Network dstack_default  Creating
 Container dstack-web-1  Creating
 Container dstack-web-1  Created
 Container dstack-web-1  Starting
 Container dstack-web-1  Started`;
    expect(feed(lines).text(2)).toBe('containers 1/2');
  });

  it('keeps docker’s words for each image and container that failed', () => {
    const progress = feed(` far Pulling
 far Error Get "https://nowhere.invalid/v2/": no such host
 Container dstack-a-1  Starting
 Container dstack-a-1  Error
Error response from daemon: port is already allocated`);
    expect([...progress.complaints]).toEqual([
      ['far', { stage: 'pull', words: 'Get "https://nowhere.invalid/v2/": no such host' }],
      ['dstack-a-1', { stage: 'start', words: '' }],
    ]);
    expect(progress.lastWords).toBe('Error response from daemon: port is already allocated');
  });

  it('sees builds and their failure', () => {
    expect(feed('#3 [web 1/2] FROM docker.io/library/x').text(1)).toBe('building images');
    expect(feed('failed to solve: process "/bin/sh" did not complete').complaints.get('')?.stage).toBe('build');
    expect(feed('target web: failed to solve: nope').complaints.get('web')).toEqual({ stage: 'build', words: 'nope' });
  });

  it('takes any line', () => {
    fc.assert(fc.property(fc.array(fc.string()), (lines) => typeof feed(lines.join('\n')).text(3) === 'string'));
  });
});

const container = (change: Partial<ProjectContainer> = {}): ProjectContainer => ({
  id: 'i',
  name: 'dstack-web-1',
  image: 'x',
  service: 'web',
  status: 'running',
  exitCode: 0,
  healthOutput: '',
  error: '',
  restarts: 0,
  outOfMemory: false,
  terminal: false,
  startedAt: 1,
  ...change,
});

describe('verdict on a container', () => {
  it.each([
    [{}, { verdict: 'ready' }],
    [{ health: 'healthy' }, { verdict: 'ready' }],
    [{ health: 'starting' }, { verdict: 'starting' }],
    [
      { health: 'unhealthy', healthOutput: 'no pulse' },
      { verdict: 'failed', stage: 'health', words: 'no pulse' },
    ],
    [
      { restarts: 2, exitCode: 1 },
      { verdict: 'failed', stage: 'exit', words: 'ended with exit status 1, restarted 2 times: bye' },
    ],
    [{ restarts: 2, health: 'healthy' }, { verdict: 'ready' }],
    [{ status: 'exited' }, { verdict: 'done' }],
    [
      { status: 'exited', exitCode: 3 },
      { verdict: 'failed', stage: 'exit', words: 'ended with exit status 3: bye' },
    ],
    [
      { status: 'exited', exitCode: 137, outOfMemory: true },
      { verdict: 'failed', stage: 'exit', words: 'was killed for using too much memory: bye' },
    ],
    [{ status: 'created' }, { verdict: 'starting' }],
    [
      { status: 'created', error: 'port is taken' },
      { verdict: 'failed', stage: 'start', words: 'port is taken' },
    ],
    [
      { status: 'exited', exitCode: 128, error: 'no such file' },
      { verdict: 'failed', stage: 'start', words: 'no such file' },
    ],
    [
      { status: 'restarting', exitCode: 1, restarts: 1 },
      { verdict: 'failed', stage: 'exit', words: 'ended with exit status 1, restarted 1 times: bye' },
    ],
  ])('%j', (change, verdict) => expect(containerVerdict(container(change), 'bye')).toEqual(verdict));

  it('the worst of a service’s containers counts, and a service without one is missing', () => {
    const services = ['web', 'db', 'far'].map((name) => ({ name, image: 'x', built: false, profiles: [] }));
    const containers = [container(), container({ id: 'j', name: 'dstack-web-2', health: 'unhealthy' })];
    const complaints = new Map([['far', { stage: 'pull', words: 'no such host' } as const]]);
    const statuses = serviceStatuses(services, containers, new Map(), complaints);
    expect(statuses.map(({ service, verdict, container: name }) => [service, verdict, name])).toEqual([
      ['web', 'failed', 'dstack-web-2'],
      ['db', 'missing', ''],
      ['far', 'failed', ''],
    ]);
    expect(failureText(statuses)).toBe(
      'web: health: the health check failed without a word; db: was not started; far: pull: no such host',
    );
  });
});

describe('compose model', () => {
  const text = JSON.stringify({
    name: 'dstack',
    services: { a: { image: 'x' }, b: { build: { context: '.' }, profiles: ['debug'] } },
  });

  it('knows which services start', () => {
    const model = parseComposeModel(text);
    const names = (profiles?: string) =>
      activeServices(model, new Map(profiles === undefined ? [] : [['COMPOSE_PROFILES', profiles]])).map(
        ({ name }) => name,
      );
    expect(names()).toEqual(['a']);
    expect(names('x, debug')).toEqual(['a', 'b']);
    expect(names('*')).toEqual(['a', 'b']);
  });

  it.each(['', '{}', '[]', '{"name":1,"services":{}}', '{"name":"x","services":null}'])('refuses %s', (bad) => {
    expect(() => parseComposeModel(bad)).toThrow();
  });
});

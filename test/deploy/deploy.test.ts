/** The whole start with a fake docker: its socket, and a program of that name in front of the safe path. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { readAppEnvironment } from '../../src/deploy/app-environment.ts';
import { setupDockerRegistry } from '../../src/deploy/docker-registry.ts';
import { parsePs } from '../../src/deploy/nerdctl-compose.ts';
import { type DeployContext, type DeployStep, deployContext, START, STOP } from '../../src/deploy/steps.ts';
import { type FakeDocker, fakeDocker } from './fake-docker.ts';

const bin = vi.hoisted(() => `/tmp/dstack-deploy-bin-${process.pid}`);
vi.mock('../../src/sys/programs.ts', async (original) => {
  const real = await original<typeof import('../../src/sys/programs.ts')>();
  return { ...real, SAFE_PATH: `${bin}:${real.SAFE_PATH}` };
});

let dir = '';
let docker: FakeDocker;
const saved = { ...process.env };
const at = (name: string) => join(dir, name);

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'dstack-deploy-'));
  docker = await fakeDocker(at('docker.sock'));
  mkdirSync(bin, { recursive: true });
  process.env['DSTACK_HOST_SHARED_DIR'] = dir;
  process.env['DOCKER_HOST'] = `unix://${at('docker.sock')}`;
  process.env['STRAY'] = 'must not reach the app';
});
afterEach(async () => {
  process.env = { ...saved };
  await docker.close();
  rmSync(dir, { recursive: true, force: true });
  rmSync(bin, { recursive: true, force: true });
});

function app(
  compose: Record<string, unknown>,
  env: Record<string, string> = {},
  sys: Record<string, unknown> = {},
): void {
  writeFileSync(
    at('app-compose.json'),
    JSON.stringify({
      manifest_version: 2,
      name: 'app',
      runner: 'docker-compose',
      docker_compose_file: 'services: {web: {image: x}}',
      ...compose,
    }),
  );
  writeFileSync(at('.decrypted-env.json'), JSON.stringify(env));
  writeFileSync(at('.sys-config.json'), JSON.stringify({ vm_config: '{}', ...sys }));
}

const MODEL = JSON.stringify({ name: 'dstack', services: { web: { image: 'x' } } });

/** The program `docker`: writes its arguments and environment down, and knows what `compose config` prints. */
function dockerProgram(script = ''): void {
  writeFileSync(
    join(bin, 'docker'),
    `#!/bin/sh\necho "$*" >> ${at('calls')}\nenv > ${at('env')}\n${script}\ncase "$*" in *config*) echo '${MODEL}';; esac\n`,
  );
  chmodSync(join(bin, 'docker'), 0o755);
}

async function run(steps: readonly DeployStep[]): Promise<{ told: string[]; context: DeployContext }> {
  const context = await deployContext(dir, { waitMs: 0 });
  const told: string[] = [];
  for (const step of steps) {
    if (step.when?.(context) === false) continue;
    const text = step.notify?.(context);
    if (text !== undefined) told.push(text);
    await step.run(context);
  }
  return { told, context };
}
const calls = () => readFileSync(at('calls'), 'utf8').trim().split('\n');

describe('start with docker compose', () => {
  it('goes through the documented order and passes exactly the environment of the app', async () => {
    app(
      { pre_launch_script: 'export FROM_SCRIPT="$SECRET!"', allowed_envs: ['SECRET'] },
      { SECRET: 's', OTHER: 'not allowed' },
      { pccs_url: 'https://pccs' },
    );
    dockerProgram();
    const { told } = await run(START);
    expect(told).toEqual(['pre-launch', 'starting containers', 'done']);
    const config = 'compose -f docker-compose.yaml --profile * config --format json';
    expect(calls()).toEqual([
      // asked once: each call of docker costs seconds under emulation
      config,
      'compose -f docker-compose.yaml up --remove-orphans -d --build',
      'volume prune -f',
    ]);
    expect(readFileSync(at('docker-compose.yaml'), 'utf8')).toBe('services: {web: {image: x}}\n');
    const env = readFileSync(at('env'), 'utf8');
    for (const line of ['SECRET=s', 'FROM_SCRIPT=s!', 'PCCS_URL=https://pccs']) expect(env.split('\n')).toContain(line);
    expect(env).not.toMatch(/STRAY|OTHER|BUN_|NODE_/);
  });
  it('fails with the words of docker', async () => {
    app({});
    dockerProgram('case "$*" in *up*) echo "pull access denied for x" >&2; exit 18;; esac');
    const failure = await run(START).catch((thrown) => thrown);
    expect(failure).toMatchObject({
      code: 'COMPOSE_UP_FAILED',
      message: 'failed to start containers: pull access denied for x',
    });
    expect(calls().at(-1)).toContain(' up ');
  });
  it('survives a failing prune', async () => {
    app({});
    dockerProgram('case "$*" in *prune*) exit 1;; esac');
    expect((await run(START)).told.at(-1)).toBe('done');
  });
  it('starts nothing after a pre-launch script that ends with exit 0', async () => {
    app({ pre_launch_script: 'exit 0' });
    expect((await run(START)).told).toEqual(['pre-launch']);
  });
  it('reminds of a pre-launch script that does not end', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
    try {
      app({
        pre_launch_script: `while [ ! -e ${at('go')} ]; do sleep 0.05; done`,
        runner: 'bash',
        bash_script: 'true',
      });
      const heard: string[] = [];
      const context = await deployContext(dir, { tell: (text) => heard.push(text) });
      const script = START.find(({ name }) => name === 'run the pre-launch script');
      const running = script?.run(context);
      vi.advanceTimersByTime(120_000);
      writeFileSync(at('go'), '');
      await running;
      vi.advanceTimersByTime(120_000);
      expect(heard).toEqual([
        'pre-launch: still running after 1 min 00 s',
        'pre-launch: still running after 2 min 00 s',
      ]);
    } finally {
      vi.useRealTimers();
    }
  });
  it('tells the host of a pre-launch key even when it is null', async () => {
    app({ pre_launch_script: null, runner: 'bash', bash_script: 'true' });
    expect((await run(START)).told).toEqual(['pre-launch', 'running main script', 'done']);
  });
  it('does not begin without docker', async () => {
    app({ pre_launch_script: `touch ${at('ran')}` });
    process.env['DOCKER_HOST'] = `unix://${at('nobody.sock')}`;
    await expect(run(START)).rejects.toMatchObject({ code: 'DOCKER_UNAVAILABLE' });
    expect(existsSync(at('ran'))).toBe(false);
  });
  it('stops nothing when there is no compose file', async () => {
    app({});
    await run(STOP);
  });
});

describe('other runners', () => {
  it.each(['', 'services: [', 'a: b: c', '- x'])(
    'does not read a compose file that the bash runner does not use: %j',
    async (text) => {
      app({ runner: 'bash', bash_script: `touch ${at('out')}`, docker_compose_file: text });
      await run(START);
      expect(existsSync(at('out'))).toBe(true);
    },
  );
  it('runs the script of the bash runner', async () => {
    app({ runner: 'bash', bash_script: `echo "$A" > ${at('out')}`, allowed_envs: ['A'] }, { A: '1' });
    expect((await run(START)).told).toEqual(['running main script', 'done']);
    expect(readFileSync(at('out'), 'utf8')).toBe('1\n');
  });
  it('refuses runners it does not know', async () => {
    app({ runner: 'podman' });
    await expect(deployContext(dir)).rejects.toMatchObject({ code: 'RUNNER_UNSUPPORTED' });
  });
});

describe('readAppEnvironment', () => {
  const read = (value: unknown, allowed = ['A', 'B']) => {
    writeFileSync(at('env.json'), typeof value === 'string' ? value : JSON.stringify(value));
    return readAppEnvironment(at('env.json'), allowed);
  };
  it('keeps allowed names only', async () =>
    expect([...(await read({ A: '1', C: '2', PATH: '/x' }))]).toEqual([['A', '1']]));
  it('is empty without a file', async () => expect((await readAppEnvironment(at('none'), [])).size).toBe(0));
  it.each([['{'], ['[]'], ['null'], ['{"A":1}'], ['{"A":"a\\u0000b"}']])('refuses %s', async (text) => {
    await expect(read(text)).rejects.toMatchObject({ code: 'ENV_MALFORMED' });
  });
});

describe('runner nerdctl-compose', () => {
  const nerdctl = (script = '') => {
    writeFileSync(join(bin, 'nerdctl'), `#!/bin/sh\necho "$*" >> ${at('calls')}\n${script}\n`);
    chmodSync(join(bin, 'nerdctl'), 0o755);
  };

  it('starts, prunes and stops in its namespace, with the snapshotter of the app', async () => {
    app({ runner: 'nerdctl-compose', snapshotter: 'stargz', allowed_envs: ['NERDCTL_NAMESPACE'] });
    nerdctl();
    expect((await run(START)).told).toEqual(['starting containers', 'done']);
    await run(STOP);
    expect(calls()).toEqual([
      '--namespace dstack --snapshotter stargz compose -f docker-compose.yaml up --remove-orphans -d',
      '--namespace dstack image prune -af',
      '--namespace dstack compose -f docker-compose.yaml stop',
    ]);
  });
  it('takes overlayfs and another namespace when asked to', async () => {
    app({ runner: 'nerdctl-compose', allowed_envs: ['NERDCTL_NAMESPACE'] }, { NERDCTL_NAMESPACE: 'mine' });
    nerdctl();
    await run(START);
    expect(calls()[0]).toBe(
      '--namespace mine --snapshotter overlayfs compose -f docker-compose.yaml up --remove-orphans -d',
    );
  });
  it('refuses to build, and says when nerdctl is missing', async () => {
    app({ runner: 'nerdctl-compose', docker_compose_file: 'services: {web: {build: .}}' });
    await expect(run(START)).rejects.toMatchObject({ code: 'COMMAND_NOT_FOUND' });
    nerdctl();
    await expect(run(START)).rejects.toMatchObject({ code: 'COMPOSE_INVALID', field: 'services.web.build' });
  });
  it('fails with the words of nerdctl', async () => {
    app({ runner: 'nerdctl-compose' });
    nerdctl('echo no such image >&2; exit 1');
    await expect(run(START)).rejects.toMatchObject({ code: 'COMPOSE_UP_FAILED' });
  });

  const line = '{"Service":"web","Name":"dstack-web-1","Image":"nginx","State":"running","ExitCode":0}';
  const service = {
    service: 'web',
    container: 'dstack-web-1',
    image: 'nginx',
    state: 'running',
    health: '',
    exitCode: 0,
    restarts: 0,
    verdict: 'ready',
  };
  it('reads one object a line, and an array', () => {
    expect(parsePs(`${line}\n${line}\n`)).toEqual([service, service]);
    expect(parsePs(`[${line}]`)).toEqual([service]);
    expect(parsePs('\n')).toEqual([]);
    expect(parsePs('[{"Service":"a","State":"exited","ExitCode":3}]')).toMatchObject([
      { verdict: 'failed', stage: 'exit' },
    ]);
  });
});

describe('setupDockerRegistry', () => {
  const file = () => at('etc/daemon.json');
  it('sets the one mirror and keeps the rest', async () => {
    await setupDockerRegistry('https://one', file());
    expect(readFileSync(file(), 'utf8')).toBe('{"registry-mirrors":["https://one"]}');
    writeFileSync(file(), '{"log-driver":"journald","registry-mirrors":["a","b"]}');
    await setupDockerRegistry('https://two', file());
    expect(readFileSync(file(), 'utf8')).toBe('{"log-driver":"journald","registry-mirrors":["https://two"]}');
  });
  it('does nothing without a registry and refuses a damaged file', async () => {
    await setupDockerRegistry('', file());
    expect(existsSync(file())).toBe(false);
    mkdirSync(at('etc'));
    writeFileSync(file(), '[]');
    await expect(setupDockerRegistry('x', file())).rejects.toMatchObject({ code: 'DOCUMENT_INVALID' });
  });
});

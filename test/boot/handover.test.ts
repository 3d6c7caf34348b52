import { mkdir, readdir, readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bindState, bindWorkDir } from '../../src/boot/handover/bind-mounts.ts';
import { runInitScripts } from '../../src/boot/handover/init-scripts.ts';
import { setup } from '../../src/boot/run.ts';
import * as ui from '../../src/ui.ts';
import { COMPOSE, FakeBootMachine } from './fake-boot-machine.ts';

let machine: FakeBootMachine;
beforeEach(async () => {
  machine = new FakeBootMachine();
  await machine.begin();
  vi.spyOn(ui, 'output').mockImplementation(async () => {});
});
afterEach(() => machine.end());

describe('handover', () => {
  it('follows setup in the documented order', async () => {
    const volume = { source: 'v.img', verity_root: '00'.repeat(32), target: '/data' };
    await machine.share('app-compose.json', { ...COMPOSE, verity_volumes: [volume] });
    await setup({ ...machine.options, handover: true }, machine.dependencies());
    expect(machine.steps.slice(-4)).toEqual([
      'volumes 1',
      `compose file in ${machine.path('dstack')}`,
      'orphans',
      'hold',
    ]);
    expect(machine.commands.at(-1)).toBe(`bind ${machine.path('work')} to /dstack`);
  });

  it('has no compose file for runner bash', async () => {
    await machine.share('app-compose.json', { ...COMPOSE, runner: 'bash', bash_script: 'true' });
    await setup({ ...machine.options, handover: true }, machine.dependencies());
    expect(machine.steps.slice(-2)).toEqual(['registry none', 'hold']);
  });

  it('goes on when orphans cannot be removed', async () => {
    const dependencies = machine.dependencies({ removeOrphansOffline: () => Promise.reject(new Error('broken')) });
    await setup({ ...machine.options, handover: true }, dependencies);
    expect(machine.of('boot.error')).toEqual([]);
  });

  it('stops when a container cannot be held: it could run before the app’s own script', async () => {
    const dependencies = machine.dependencies({ holdContainers: () => Promise.reject(new Error('read-only')) });
    await expect(setup({ ...machine.options, handover: true }, dependencies)).rejects.toThrow('read-only');
    expect(machine.of('boot.error')).toHaveLength(1);
  });
});

describe('bind mounts', () => {
  it('puts the state of the container programs on the data disk', async () => {
    await bindState(machine.path('persistent'), machine.bootMachine);
    expect(machine.commands).toHaveLength(5);
    expect(machine.commands).toContain(`bind ${machine.path('persistent/var/lib/docker')} to /var/lib/docker`);
    expect((await readdir(machine.path('persistent/var/lib'))).sort()).toEqual([
      'containerd',
      'containerd-stargz-grpc',
      'docker',
      'nerdctl',
      'sysbox',
    ]);
  });

  it('does not mount twice', async () => {
    await bindWorkDir(machine.path('work'), machine.bootMachine);
    await bindWorkDir(machine.path('work'), machine.bootMachine);
    expect(machine.commands).toHaveLength(1);
  });
});

describe('init scripts', () => {
  let cwd: string;
  const run = (...scripts: string[]) => runInitScripts(scripts, cwd, machine.path('scripts'));
  beforeEach(async () => {
    cwd = machine.path('dstack');
    await mkdir(cwd);
  });

  it('share one bash: variables and functions stay, the working directory is /dstack', async () => {
    await run('greeting=hello; greet() { echo "$greeting $1" >> out; }', 'greet one', 'greet two; pwd >> out');
    expect(await readFile(`${cwd}/out`, 'utf8')).toBe(`hello one\nhello two\n${cwd}\n`);
  });

  it('stop at the first failing command, naming script and status', async () => {
    await expect(run('true', 'touch before; (exit 7); touch after', 'touch later')).rejects.toMatchObject({
      code: 'SCRIPT_FAILED',
      message: 'init script 2 failed with exit status 7',
      value: '2',
    });
    expect(await readdir(cwd)).toEqual(['before']);
  });

  it('leave no copy of themselves, also after a failure', async () => {
    await expect(run('false')).rejects.toThrow('init script 1');
    expect(await readdir(machine.root)).not.toContain('scripts');
  });

  it('do not see our environment and cannot write to our report channel', async () => {
    process.env['SECRET_OF_OURS'] = 'x';
    await run('env > env; (echo 9 >&3) 2> denied || true');
    delete process.env['SECRET_OF_OURS'];
    expect(await readFile(`${cwd}/env`, 'utf8')).not.toContain('SECRET_OF_OURS');
    expect(await readFile(`${cwd}/denied`, 'utf8')).toContain('Bad file descriptor');
  });

  it('do not make the boot wait for what they leave in the background', async () => {
    const began = performance.now();
    await run('sleep 30 & echo $! > pid');
    expect(performance.now() - began).toBeLessThan(5000);
    process.kill(Number(await readFile(`${cwd}/pid`, 'utf8')));
  });

  it('are at most five', async () => {
    await expect(run(...Array<string>(6).fill('true'))).rejects.toMatchObject({ code: 'SCRIPT_LIMIT', value: '6' });
  });

  it('abort the boot as boot.error', async () => {
    const compose = { ...COMPOSE, manifest_version: '3', init_script: ['exit 3'] };
    await machine.share('app-compose.json', compose);
    const failing = setup({ ...machine.options, handover: true }, machine.dependencies());
    await expect(failing).rejects.toMatchObject({ code: 'SCRIPT_FAILED' });
    expect(machine.of('boot.progress')).toContain('init-script');
    expect(machine.of('boot.error')).toHaveLength(1);
  });
});

/** The login to a registry: from which variables, what it leaves where, and that its secrets are nowhere else. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { forgetLogin, keepLogin, registryLogin, withoutSecrets } from '../../src/deploy/registry-login.ts';
import { deployContext, logOut, START } from '../../src/deploy/steps.ts';
import { errorChain } from '../../src/errors.ts';
import { type FakeDocker, type FakeDockerOptions, fakeDocker } from './fake-docker.ts';

const bin = vi.hoisted(() => `/tmp/dstack-login-bin-${process.pid}`);
vi.mock('../../src/sys/programs.ts', async (original) => {
  const real = await original<typeof import('../../src/sys/programs.ts')>();
  return { ...real, SAFE_PATH: `${bin}:${real.SAFE_PATH}` };
});

const SECRETS = { DSTACK_DOCKER_USERNAME: 'robot-7', DSTACK_DOCKER_PASSWORD: 'pa"ss w/rd+' };
const login = (env: Record<string, string>) => registryLogin(new Map(Object.entries(env)));

describe('which login', () => {
  it.each([
    [undefined, 'https://index.docker.io/v1/', 'docker.io'],
    ['', 'https://index.docker.io/v1/', 'docker.io'],
    ['docker.io', 'https://index.docker.io/v1/', 'docker.io'],
    ['https://index.docker.io/v1/', 'https://index.docker.io/v1/', 'docker.io'],
    ['ghcr.io', 'ghcr.io', 'ghcr.io'],
    ['https://registry.example/', 'registry.example', 'registry.example'],
    ['127.0.0.1:5000', '127.0.0.1:5000', '127.0.0.1:5000'],
    ['[::1]:5000', '[::1]:5000', '[::1]:5000'],
  ])('%s is %s', (name, server, host) => {
    const env = { ...SECRETS, ...(name === undefined ? {} : { DSTACK_DOCKER_REGISTRY: name }) };
    expect(login(env)).toMatchObject({ server, host, username: 'robot-7', password: 'pa"ss w/rd+' });
  });

  it.each([
    'http://registry.example',
    'ghcr.io/team',
    'my secret word',
    'user:pw@host',
    '-v',
    'a..b',
    'ghcr.io:99999999',
  ])('%s is not a registry, and may be a secret: it is not shown', (name) => {
    let thrown: unknown;
    try {
      login({ ...SECRETS, DSTACK_DOCKER_REGISTRY: name });
    } catch (failure) {
      thrown = failure;
    }
    expect(thrown).toMatchObject({ code: 'REGISTRY_INVALID', field: 'DSTACK_DOCKER_REGISTRY', value: undefined });
    expect(JSON.stringify(thrown)).not.toContain(name);
  });

  it('is none without both name and password', () => {
    expect(login({})).toBeUndefined();
    expect(login({ DSTACK_DOCKER_USERNAME: 'u', DSTACK_DOCKER_PASSWORD: '' })).toBeUndefined();
    expect(login({ DSTACK_DOCKER_PASSWORD: 'p' })).toBeUndefined();
    expect(() => login({ ...SECRETS, DSTACK_DOCKER_USERNAME: 'a:b' })).toThrow('has a colon');
  });

  it('is in no word of a registry, in whichever form it sends it back', () => {
    const credentials = { server: 's', host: 's', username: 'robot-7', password: 'pa"ss w/rd+' };
    const pair = Buffer.from('robot-7:pa"ss w/rd+').toString('base64');
    const words = `denied: Basic ${pair} pa"ss w/rd+ ${encodeURIComponent('pa"ss w/rd+')} ${JSON.stringify({ p: 'pa"ss w/rd+' })} robot-7 \u001b[31m`;
    const shown = withoutSecrets(words, credentials);
    expect(shown).toMatch(/^denied: Basic \*\*\* \*\*\* \*\*\* \{"p":"\*\*\*"\} \*\*\* /);
    expect(shown).not.toMatch(/robot|pa"ss|w\/rd|\u001b/);
    expect(withoutSecrets('x'.repeat(1000), credentials).length).toBeLessThan(310);
  });
});

describe('docker’s configuration', () => {
  it('is private, has one login, and is gone afterwards', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'login-dir-'));
    const folder = join(dir, 'login');
    mkdirSync(folder);
    writeFileSync(join(folder, 'left.json'), 'of a start that was killed');
    const credentials = { server: 'ghcr.io', host: 'ghcr.io', username: 'u', password: 'p:q' };
    const env = await keepLogin(credentials, folder, new Map([['A', '1']]));
    expect([...env]).toEqual([
      ['A', '1'],
      ['DOCKER_CONFIG', folder],
    ]);
    const { statSync } = await import('node:fs');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, 'config.json')).mode & 0o777).toBe(0o600);
    expect(existsSync(join(folder, 'left.json'))).toBe(false);
    const { auths } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
    expect(Buffer.from(auths['ghcr.io'].auth, 'base64').toString()).toBe('u:p:q');
    await forgetLogin(folder);
    expect(existsSync(folder)).toBe(false);
    await forgetLogin(folder);
    rmSync(dir, { recursive: true });
  });
});

describe('a start', () => {
  let dir = '';
  let docker: FakeDocker;
  const saved = { ...process.env };
  const at = (name: string) => join(dir, name);
  const stderr: string[] = [];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'dstack-login-'));
    mkdirSync(bin, { recursive: true });
    process.env['DSTACK_HOST_SHARED_DIR'] = dir;
    process.env['DOCKER_HOST'] = `unix://${at('docker.sock')}`;
    process.env['DSTACK_LOG'] = 'debug';
    stderr.length = 0;
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      stderr.push(String(text));
      return true;
    });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    process.env = { ...saved };
    await docker?.close();
    rmSync(dir, { recursive: true, force: true });
    rmSync(bin, { recursive: true, force: true });
  });

  /** Programs write down their arguments, and what they find in DOCKER_CONFIG. */
  function program(name: string, onUp = ''): void {
    const model = JSON.stringify({ name: 'dstack', services: { web: { image: 'x:1' } } });
    const look = `cat "$DOCKER_CONFIG/config.json" > ${at('seen')} 2>/dev/null || true`;
    const script = `#!/bin/sh\necho "$*" >> ${at('calls')}\ncase "$*" in *config*) echo '${model}';; *up*) ${look}; ${onUp};; esac\n`;
    writeFileSync(join(bin, name), script);
    chmodSync(join(bin, name), 0o755);
  }

  async function start(
    env: Record<string, string>,
    options: FakeDockerOptions = {},
    fields: object = {},
    sys: object = {},
    onUp = 'true',
  ) {
    docker = await fakeDocker(at('docker.sock'), [], options);
    program('docker', onUp);
    program('nerdctl', onUp);
    const document = {
      manifest_version: '3',
      name: 'app',
      runner: 'docker-compose',
      docker_compose_file: 'services: {web: {image: "x:1"}}',
      allowed_envs: Object.keys(env),
      ...fields,
    };
    writeFileSync(at('app-compose.json'), JSON.stringify(document));
    writeFileSync(at('.decrypted-env.json'), JSON.stringify(env));
    writeFileSync(at('.sys-config.json'), JSON.stringify({ vm_config: '{}', ...sys }));
    const told: string[] = [];
    const context = await deployContext(dir, { waitMs: 0, loginDir: at('login'), tell: (text) => told.push(text) });
    let failure: unknown;
    try {
      for (const step of START) if (step.when?.(context) !== false) await step.run(context);
    } catch (thrown) {
      failure = thrown;
    } finally {
      await logOut(context);
    }
    const seen = existsSync(at('seen')) ? readFileSync(at('seen'), 'utf8') : '';
    const calls = existsSync(at('calls')) ? readFileSync(at('calls'), 'utf8') : '';
    // whatever happened: nothing of it is in a log, an argument list, an error, or left behind
    const everything = [stderr.join(''), calls, errorChain(failure ?? ''), JSON.stringify(failure ?? ''), told.join()];
    for (const text of everything) {
      expect(text).not.toContain('robot-7');
      expect(text).not.toContain('w/rd');
      expect(text).not.toContain(Buffer.from('robot-7:pa"ss w/rd+').toString('base64'));
    }
    expect(existsSync(at('login'))).toBe(false);
    return { told, failure, seen, calls, log: stderr.join('') };
  }
  const ENV = { ...SECRETS, DSTACK_DOCKER_REGISTRY: 'registry.example:5000' };

  it('logs in by dockerd, pulls with the login, and forgets it', async () => {
    const asked: unknown[] = [];
    const auth = (credentials: Record<string, string>) => {
      asked.push(credentials);
      return { status: 200, message: '' };
    };
    const { told, failure, seen, log } = await start(ENV, { auth });
    expect(failure).toBeUndefined();
    expect(asked).toEqual([{ username: 'robot-7', password: 'pa"ss w/rd+', serveraddress: 'registry.example:5000' }]);
    expect(told).toContain('logging in to the registry registry.example:5000');
    expect(log).toContain('logged in to the registry registry.example:5000');
    expect(Object.keys(JSON.parse(seen).auths)).toEqual(['registry.example:5000']);
  });

  it('gives the login to the pre-launch script, which finds it where docker does', async () => {
    const script = `cat "$DOCKER_CONFIG/config.json" > ${'$'}PWD/script-saw`;
    const { failure } = await start(ENV, {}, { pre_launch_script: script });
    expect(failure).toBeUndefined();
    expect(readFileSync(at('script-saw'), 'utf8')).toContain('registry.example:5000');
  });

  it.each([
    [401, 'Get "https://registry.example:5000/v2/": unauthorized: authentication required', 'REGISTRY_LOGIN_REFUSED'],
    [500, 'unauthorized: incorrect username or password', 'REGISTRY_LOGIN_REFUSED'],
    [
      500,
      'Get "https://registry.example:5000/v2/": dial tcp: lookup registry.example: no such host',
      'REGISTRY_UNREACHABLE',
    ],
    [500, `echo ${Buffer.from('robot-7:pa"ss w/rd+').toString('base64')} pa"ss w/rd+`, 'REGISTRY_UNREACHABLE'],
  ])('ends with its reason when dockerd says %d %s', async (status, message, code) => {
    const { failure, calls } = await start(ENV, { auth: () => ({ status, message }) });
    expect(failure).toMatchObject({ code });
    expect(String((failure as Error).message)).toContain('registry registry.example:5000');
    expect(calls).not.toContain(' up ');
  });

  it.each(['docker-compose', 'nerdctl-compose'])(
    '%s: a registry that says the password at the pull is not quoted',
    async (runner) => {
      const pair = Buffer.from('robot-7:pa"ss w/rd+').toString('base64');
      const says = `echo ' web Error unauthorized: Basic ${pair} pa"ss w/rd+' >&2; echo 'app: ${pair}'; exit 18`;
      const { failure, log } = await start(ENV, {}, { runner }, {}, says);
      expect(errorChain(failure)).toContain('unauthorized: Basic *** ***');
      expect(log).toContain('unauthorized: Basic *** ***');
    },
  );

  it('gives the password of Docker Hub to no mirror that the host names', async () => {
    const mirror = { docker_registry: 'https://mirror.example' };
    const { failure } = await start(SECRETS, {}, {}, mirror);
    expect(failure).toMatchObject({ code: 'REGISTRY_MIRRORED', field: 'docker_registry' });
    expect(docker.requests.filter((line) => line.includes('/auth'))).toEqual([]);
    await docker.close();
    rmSync(at('docker.sock'), { force: true });
    // another registry has no mirror
    expect((await start(ENV, {}, {}, mirror)).failure).toBeUndefined();
  });

  it('goes on without the registry when every image is here', async () => {
    const refused = { auth: () => ({ status: 500, message: 'no such host' }), images: ['x:1'] };
    const { failure, calls, seen, log } = await start(ENV, refused);
    expect(failure).toBeUndefined();
    expect(calls).toContain(' up ');
    expect(seen).toBe('');
    expect(log).toContain('all images of the app are here, so the start goes on without the registry');
  });

  it('does not go on when the one image that is here is another', async () => {
    const refused = { auth: () => ({ status: 500, message: 'no such host' }), images: ['x:2'] };
    expect((await start(ENV, refused)).failure).toMatchObject({ code: 'REGISTRY_UNREACHABLE' });
  });

  it('has no login when the app does not allow its variables', async () => {
    const { failure, seen } = await start(ENV, {}, { allowed_envs: ['DSTACK_DOCKER_USERNAME'] });
    expect(failure).toBeUndefined();
    expect([seen, docker.requests.filter((line) => line.includes('/auth'))]).toEqual(['', []]);
  });

  it('leaves it to the pull where there is no dockerd', async () => {
    const { failure, seen, log } = await start(ENV, {}, { runner: 'nerdctl-compose' });
    expect(failure).toBeUndefined();
    expect(docker.requests).toEqual([]);
    expect(Object.keys(JSON.parse(seen).auths)).toEqual(['registry.example:5000']);
    expect(log).toContain('the login to the registry registry.example:5000 is tried by the pull');
  });

  it('of a bash app logs in to nothing: its script decides', async () => {
    const { failure } = await start(ENV, {}, { runner: 'bash', bash_script: 'true' });
    expect(failure).toBeUndefined();
    expect(docker.requests).toEqual([]);
  });

  it('says what to send instead of the variables of Amazon', async () => {
    const { failure, log } = await start({ DSTACK_AWS_ECR_REGISTRY: '1.dkr.ecr.eu-west-1.amazonaws.com' });
    expect(failure).toBeUndefined();
    expect(log).toContain('send DSTACK_DOCKER_USERNAME=AWS');
  });
});

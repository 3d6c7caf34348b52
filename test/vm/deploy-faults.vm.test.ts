/** What goes wrong under `deploy` while a real docker works: ports, disks, scripts, runners, a dockerd and a machine that die. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { check, deployApp, failed, SLEEP } from './deploy-app.ts';
import { DockerRoom } from './docker-room.ts';

let room: DockerRoom;
beforeAll(async () => {
  room = await DockerRoom.create();
  await room.startDocker();
  await room.loadImage();
});
afterAll(() => room?.close());

const { app, text, start, status, down } = deployApp(() => room);
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.sequential('a container that cannot be what it should', () => {
  it('says who wants a port that is taken, in docker’s words, and starts the others', async () => {
    const publishing = { ...SLEEP, network_mode: 'bridge', ports: ['127.0.0.1:7070:80'] };
    // each service a network of its own: the default one does not exist here
    const compose = {
      services: Object.fromEntries(
        [
          ['first', publishing],
          ['second', { ...publishing, depends_on: ['first'] }],
          ['third', { ...SLEEP, ports: [] }],
        ].map(([name, service]) => [
          name,
          {
            image: 'bb:1',
            pull_policy: 'never',
            stop_grace_period: '0s',
            ...(service as object),
            network_mode: undefined,
          },
        ]),
      ),
    };
    text(JSON.stringify(compose));
    const stderr = failed(await start(), 'PORT_TAKEN');
    expect(stderr).toMatch(/failed to start containers: second: start: .*7070.*(already allocated|already in use)/);
    const verdicts = Object.fromEntries((await status()).map(({ service, verdict }) => [service, verdict]));
    expect(verdicts).toMatchObject({ first: 'ready', second: 'failed' });
    await down();
  });

  it('tells one that ends at once from one that ends well', async () => {
    app({
      gone: { command: ['sh', '-c', 'echo nothing to serve; exit 0'], restart: 'no' },
      bad: { command: ['false'] },
    });
    expect(failed(await start(), 'SERVICE_EXITED')).toMatch(
      /1 of 2 services failed: bad: exit: ended with exit status 1/,
    );
    expect((await status()).find(({ service }) => service === 'gone')).toMatchObject({ verdict: 'done' });
    await down();
  });
});

describe.sequential('scripts and documents', () => {
  it('reminds of a script that hangs, and ends it only when a limit was asked for', async () => {
    app({ web: SLEEP }, { pre_launch_script: 'echo waiting for the moon\nsleep 1000\n' });
    const stderr = failed(await start('--script-limit 2'), 'SCRIPT_TIMEOUT');
    expect(stderr).toContain('waiting for the moon');
    expect(stderr).toContain('pre_launch_script did not end within 2.0 s and was stopped');
    expect(await room.ok("ps -eo args | grep '[s]leep 1000' || true")).toBe('');
    expect(await room.ok('docker ps -aq')).toBe('');
    app({ web: SLEEP }, { runner: 'bash', bash_script: 'sleep 1000' });
    expect(failed(await start('--script-limit 1'), 'SCRIPT_TIMEOUT')).toContain('bash_script did not end within');
    app({ web: SLEEP }, { pre_launch_script: 'sleep 3' });
    expect((await start()).exit).toBe(0);
    await down();
  });

  it('names the line of a syntax error, and starts nothing', async () => {
    app({ web: SLEEP }, { pre_launch_script: 'true\nfor x in; do\n  if fi\ndone\n' });
    expect(failed(await start(), 'SCRIPT_FAILED')).toMatch(/line 3: syntax error near unexpected token/);
    app({ web: SLEEP }, { runner: 'bash', bash_script: 'true\nif fi\n' });
    expect(failed(await start(), 'SCRIPT_FAILED')).toMatch(
      /line 2: syntax error[\s\S]*bash_script failed with exit status 2/,
    );
    expect(await room.ok('docker ps -aq')).toBe('');
  });

  it('refuses a runner that it does not know, and a snapshotter that is not the runner’s', async () => {
    app({ web: SLEEP }, { runner: 'podman' });
    expect(failed(await start(), 'RUNNER_UNSUPPORTED')).toContain('runner podman is unknown');
    app({ web: SLEEP }, { snapshotter: 'stargz' });
    expect(failed(await start(), 'DOCUMENT_INVALID')).toContain('snapshotter is only supported by the nerdctl-compose');
    app({ web: SLEEP }, { runner: 'nerdctl-compose', manifest_version: '3', snapshotter: 'zfs' });
    expect(failed(await start(), 'DOCUMENT_INVALID')).toContain('must be one of overlayfs, stargz');
    expect(await room.ok('docker ps -aq')).toBe('');
  });

  it.each([
    ['tabs for indentation', 'services:\n\ta:\n\t\timage: bb:1\n'],
    ['a key twice', 'services: {a: {image: bb:1}, a: {image: bb:2}}'],
    ['an alias without an anchor', 'services: {a: *nothing}'],
    ['an anchor in itself', 'x: &x [*x]\nservices: {a: {image: bb:1, labels: *x}}'],
    ['a service without image and build', 'services: {a: {command: [sleep, "1"]}}'],
    ['an unknown key', 'services: {a: {image: bb:1, imagine: 1}}'],
    ['a service that it does not have', 'services: {a: {image: bb:1, depends_on: [b]}}'],
    ['nothing', ''],
  ])('refuses a compose file with %s', async (_, composeFile) => {
    text(composeFile, { pre_launch_script: 'true' });
    failed(await start(), 'COMPOSE_INVALID');
    expect(await room.ok('docker ps -aq')).toBe('');
  });
});

describe.sequential('a disk that is full', () => {
  const MIB = 1024 ** 2;
  /** docker on a file system of 24 MiB, its own beginnings included */
  beforeAll(async () => {
    await room.powerCut();
    await room.ok('mkdir -p /small && mount -t tmpfs -o size=24m tmpfs /small');
    await room.startDocker('--data-root /small');
    await room.loadImage();
  });
  afterAll(async () => {
    await room.powerCut();
    await room.startDocker();
  });
  const left = async () => Number((await room.ok('df --output=avail -k /small | tail -1')).trim()) * 1024;

  it('is the words and the code of a pull that does not fit; the next start works', async () => {
    const digest = await room.startRegistry(7000, 64 * MIB);
    app({ big: { image: `127.0.0.1:7000/app@${digest}`, pull_policy: 'missing', ...SLEEP } });
    expect(failed(await start(), 'DISK_FULL')).toMatch(/failed to start containers: .*no space left on device/);
    // docker has removed what it had begun
    expect(await left()).toBeGreaterThan(8 * MIB);
    app({ web: SLEEP });
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    await down();
  });

  it('pulls what does fit', async () => {
    const digest = await room.startRegistry(7001, MIB);
    app({ small: { image: `127.0.0.1:7001/app@${digest}`, pull_policy: 'missing', ...SLEEP } });
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    expect(stderr).not.toContain('not pinned');
    await down();
  });

  it('shows docker’s words when the pre-launch script loads an image that does not fit', async () => {
    await room.ok('mkdir -p /big && head -c 67108864 /dev/zero >/big/zeros && tar -C /big -cf /big.tar zeros');
    app({ web: SLEEP }, { pre_launch_script: 'docker import /big.tar big:1' });
    const stderr = failed(await start(), 'SCRIPT_FAILED');
    expect(stderr).toMatch(/no space left on device[\s\S]*pre_launch_script failed with exit status 1/);
    expect(await left()).toBeGreaterThan(8 * MIB);
  });
});

describe.sequential('a dockerd that dies and a power cut', () => {
  it('is told as such when dockerd dies while services are awaited', async () => {
    app({ slow: check(['sleep', '4'], 100) });
    const starting = start();
    await expect
      .poll(async () => (await room.sh('docker ps -q')).stdout, { timeout: 60_000, interval: 200 })
      .not.toBe('');
    await room.ok('kill -9 $(cat /run/docker.pid)');
    failed(await starting, 'DOCKER_UNAVAILABLE');
    await room.powerCut();
    await room.startDocker();
    await down();
  });

  it.each([100, 2500])('recovers from a power cut %d ms into the stop', async (delay) => {
    const slow = {
      command: ['sh', '-c', 'trap "sleep 2; exit 0" TERM; sleep 1000 & wait'],
      stop_grace_period: '10s',
      restart: 'always',
    };
    app({ db: slow, web: { ...slow, depends_on: ['db'] } }, { pre_launch_script: 'docker ps -q >/running' });
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    const stopping = room.sh('dstack-util deploy stop');
    await pause(delay);
    await room.powerCut();
    expect((await stopping).exit).not.toBe(0);
    await room.ok('dstack-util deploy hold');
    await room.startDocker();
    const again = await start();
    expect(again.exit, again.stderr).toBe(0);
    expect(await room.ok('cat /running')).toBe('');
    expect((await status()).map(({ verdict }) => verdict)).toEqual(['ready', 'ready']);
    const policies = await room.ok("docker inspect -f '{{.HostConfig.RestartPolicy.Name}}' dstack-db-1 dstack-web-1");
    expect(policies).toBe('always\nalways\n');
    await down();
  });
});

it('starts, shows and stops an app on containerd alone', async ({ skip }) => {
  const missing = (await room.sh('test -x /usr/bin/nerdctl')).exit !== 0;
  skip(missing, 'nerdctl cannot be had: Debian has no package of it, and the image is made of Debian packages only');
  await room.ok('(setsid containerd >/containerd.log 2>&1 &); sleep 5; cd /image && tar -c . >/bb.tar');
  await room.ok('nerdctl --namespace dstack image import /bb.tar bb:1 || nerdctl --namespace dstack load -i /bb.tar');
  app({ web: SLEEP }, { runner: 'nerdctl-compose', manifest_version: '3' });
  const { exit, stderr } = await start();
  expect(exit, stderr).toBe(0);
  expect(await status()).toMatchObject([{ service: 'web', verdict: 'ready' }]);
  await room.ok('dstack-util deploy stop');
  expect(await status()).not.toMatchObject([{ verdict: 'ready' }]);
});

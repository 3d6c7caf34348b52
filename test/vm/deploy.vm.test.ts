/** `deploy` with a real docker and a real compose, without a VM: order, failures in docker's own words, recovery. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { composeSchemaKeys, judgedAlike } from './compose-judge.ts';
import { check, deployApp, failed, SLEEP } from './deploy-app.ts';
import { checkFigures } from './docker-figures.ts';
import { DockerRoom } from './docker-room.ts';
import { hasPrivateRegistry, privateRegistry } from './private-registry.ts';

let room: DockerRoom;
beforeAll(async () => {
  room = await DockerRoom.create();
  await room.startDocker();
  await room.loadImage();
});
afterAll(() => room?.close());

const { app, text, start, status, down } = deployApp(() => room);

describe.sequential('start', () => {
  it('waits for health checks, takes a task that ended well for done, and tells all of it', async () => {
    app({ web: check(['true']), task: { command: ['true'] }, plain: SLEEP });
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    expect((await status()).map(({ service, verdict }) => [service, verdict])).toEqual([
      ['plain', 'ready'],
      ['task', 'done'],
      ['web', 'ready'],
    ]);
    expect(stderr).toContain('image bb:1 of service web is not pinned by the measurement: write image: bb:1@sha256:');
  });

  it('is done at once when it is run again', async () => {
    expect((await start()).exit).toBe(0);
    await down();
  });

  it('names every service that failed, with its own words, and starts the others', async () => {
    app({
      good: SLEEP,
      crash: { command: ['sh', '-c', 'echo the database is missing; exit 7'] },
      sick: check(['sh', '-c', 'echo no pulse; exit 1']),
    });
    const stderr = failed(await start(), 'SERVICE_EXITED');
    expect(stderr).toMatch(/crash: exit: ended with exit status 7: the database is missing/);
    expect(stderr).toMatch(/sick: health: no pulse/);
    expect((await status()).find(({ service }) => service === 'good')).toMatchObject({ verdict: 'ready' });
    await down();
  });

  it('sees a container that dies again and again', async () => {
    app({ loop: { command: ['false'], restart: 'always' } });
    expect(failed(await start(), 'SERVICE_EXITED')).toMatch(/loop: exit: ended with exit status 1/);
    await down();
  });

  it('gives up waiting for a check that does not decide, without calling it a failure', async () => {
    app({ slow: check(['sleep', '4'], 100) });
    const { exit, stderr } = await start('--wait 2');
    expect(exit, stderr).toBe(0);
    expect(stderr).toContain('service slow: its health check has not decided yet');
    await down();
  });

  it('reports a program that is not there as docker says it', async () => {
    app({ bad: { command: ['/no/such/program'] }, good: SLEEP });
    expect(failed(await start(), 'COMPOSE_UP_FAILED')).toMatch(
      /failed to start containers: bad: start: .*\/no\/such\/program/,
    );
    await down();
  });

  it('reports an image that cannot be pulled', async () => {
    app({ far: { image: `nowhere.invalid/x@sha256:${'a'.repeat(64)}`, pull_policy: 'always' } });
    expect(failed(await start(), 'IMAGE_PULL_FAILED')).toMatch(
      /failed to start containers: far: pull: .*nowhere\.invalid/,
    );
  });

  it('refuses a cycle, a missing variable and a file that is no compose file, in docker’s words', async () => {
    app({ a: { ...SLEEP, depends_on: ['b'] }, b: { ...SLEEP, depends_on: ['a'] } });
    expect(failed(await start(), 'COMPOSE_INVALID')).toMatch(/cycle/);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: compose's own syntax
    app({ a: { ...SLEEP, environment: { X: '${NOT_THERE:?it is needed}' } } });
    expect(failed(await start(), 'COMPOSE_INVALID')).toMatch(/it is needed/);
    text('services: [not, a, mapping]');
    failed(await start(), 'COMPOSE_INVALID');
  });

  it('refuses anchors that unfold to more than memory, in bounded time', async () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) =>
        `x${i}: &x${i} [${Array(9)
          .fill(i === 0 ? '"lol"' : `*x${i - 1}`)
          .join(',')}]`,
    );
    text(`${levels.join('\n')}\nservices:\n  a:\n    image: bb:1\n    labels: *x11\n`);
    failed(await start(), 'COMPOSE_INVALID');
  });

  it('passes what the pre-launch script exports, and stops when it fails', async () => {
    // biome-ignore lint/suspicious/noTemplateCurlyInString: compose's own syntax
    const service = { echo: { command: ['echo', 'said ${WORD}'] } };
    app(service, { pre_launch_script: 'export WORD=hello' });
    expect((await start()).exit).toBe(0);
    expect(await room.ok('docker logs dstack-echo-1')).toBe('said hello\n');
    await down();
    app(service, { pre_launch_script: 'echo going down; exit 3' });
    expect(failed(await start(), 'SCRIPT_FAILED')).toMatch(/going down\n[\s\S]*exit status 3/);
    app(service, { pre_launch_script: 'if then' });
    expect(failed(await start(), 'SCRIPT_FAILED')).toMatch(/syntax error/);
    expect(await room.ok('docker ps -aq')).toBe('');
  });

  it('runs what was measured, not what somebody wrote beside it', async () => {
    app({ web: SLEEP });
    room.write('dstack/docker-compose.yaml', 'services: {evil: {image: bb:1, command: ["true"]}}\n');
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    expect(stderr).toContain('differs from the measured app-compose.json: replaced');
    expect((await status()).map(({ service }) => service)).toEqual(['web']);
    await down();
  });

  it('prints what would run, and runs nothing', async () => {
    app({ web: SLEEP }, { pre_launch_script: 'touch /ran' });
    const plan = JSON.parse(await room.ok('dstack-util deploy start --plan --json'));
    expect(plan.app).toMatchObject({
      runner: 'docker-compose',
      scripts: [{ name: 'pre_launch_script', bytes: 10 }],
      services: [{ service: 'web', image: 'bb:1', built: false }],
      loose: [{ service: 'web', image: 'bb:1' }],
    });
    expect((await room.sh('test -e /ran')).exit).toBe(1);
    expect(await room.ok('docker ps -aq')).toBe('');
  });
});

describe.sequential('images', () => {
  it('removes what nothing uses and keeps what the compose file names, also for a profile that is off', async () => {
    for (const tag of ['old:1', 'spare:1', 'later:2'])
      await room.ok(`tar -C /image -c bin | docker import - ${tag} >/dev/null`);
    app({
      web: SLEEP,
      spare: { image: 'spare:1', profiles: ['debug'] },
      later: { image: 'docker.io/library/later:2', profiles: ['x'] },
    });
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    const images = await room.ok("docker images --format '{{.Repository}}:{{.Tag}}'");
    expect(images.trim().split('\n').toSorted()).toEqual(['bb:1', 'later:2', 'spare:1']);
    await down();
  });
});

describe.sequential('containers of the last boot', () => {
  const running = async () =>
    (await room.ok("docker ps --format '{{.Names}}'"))
      .trim()
      .split('\n')
      .filter((name) => name !== '');
  const RACE = { web: { ...SLEEP, restart: 'always' } };

  it('are started by docker itself before anybody asked: the race that must be lost', async () => {
    app(RACE);
    expect((await start()).exit).toBe(0);
    await room.ok('docker run -d --name extra --network none --restart unless-stopped bb:1 sleep 1000');
    await room.powerCut();
    await room.startDocker();
    expect((await running()).toSorted()).toEqual(['dstack-web-1', 'extra']);
  });

  it('wait for the pre-launch script when they are held, then all of them come back', async () => {
    await room.powerCut();
    expect(JSON.parse(await room.ok('dstack-util deploy hold --json')).held).toHaveLength(2);
    await room.startDocker();
    expect(await running()).toEqual([]);
    app(RACE, { pre_launch_script: "docker ps --format '{{.Names}}' > /seen" });
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    expect(await room.ok('cat /seen')).toBe('');
    expect((await running()).toSorted()).toEqual(['dstack-web-1', 'extra']);
    const policy = (name: string) => room.ok(`docker inspect --format '{{.HostConfig.RestartPolicy.Name}}' ${name}`);
    expect([await policy('dstack-web-1'), await policy('extra')]).toEqual(['always\n', 'unless-stopped\n']);
    expect(await room.ok('find /var/lib/docker/containers -name dstack-held.json')).toBe('');
  });

  it('stay held when the pre-launch script fails, over a second power cut too', async () => {
    app(RACE, { pre_launch_script: 'exit 1' });
    for (let boot = 0; boot < 2; boot++) {
      await room.powerCut();
      expect(JSON.parse(await room.ok('dstack-util deploy hold --json')).held).toHaveLength(2);
      await room.startDocker();
      failed(await start(), 'SCRIPT_FAILED');
      expect(await running()).toEqual([]);
    }
    app(RACE);
    expect((await start()).exit).toBe(0);
    expect((await running()).toSorted()).toEqual(['dstack-web-1', 'extra']);
  });

  it('does not wake a container that its owner stopped', async () => {
    await room.ok('docker stop --time 0 extra >/dev/null');
    await room.powerCut();
    await room.ok('dstack-util deploy hold');
    await room.startDocker();
    expect((await start()).exit).toBe(0);
    expect(await running()).toEqual(['dstack-web-1']);
    await room.ok('docker rm -f extra >/dev/null');
  });
});

describe.sequential('power cuts and a docker that dies', () => {
  it('says that docker went away when it dies during the start', async () => {
    app({ web: SLEEP }, { pre_launch_script: 'docker info >/dev/null && kill -9 $(cat /run/docker.pid)' });
    failed(await start(), 'DOCKER_UNAVAILABLE');
    await room.powerCut();
    await room.startDocker();
    app({ web: SLEEP });
    expect((await start()).exit).toBe(0);
  });

  it.each([300, 900, 1800])('recovers from a power cut %d ms into the start', async (delay) => {
    app(
      { web: { ...SLEEP, restart: 'always' }, db: { ...check(['true']), restart: 'always' } },
      { pre_launch_script: 'echo here' },
    );
    await down();
    const cut = start();
    await new Promise((resolve) => setTimeout(resolve, delay));
    await room.powerCut();
    await cut;
    await room.ok('dstack-util deploy hold');
    await room.startDocker();
    const { exit, stderr } = await start();
    expect(exit, stderr).toBe(0);
    expect((await status()).map(({ verdict }) => verdict)).toEqual(['ready', 'ready']);
  });

  it('stops within its limit, dependents first', async () => {
    app({
      db: { command: ['sh', '-c', 'trap "echo db; exit 0" TERM; sleep 1000 & wait'], stop_grace_period: '5s' },
      web: {
        command: ['sh', '-c', 'trap "echo web; exit 0" TERM; sleep 1000 & wait'],
        stop_grace_period: '5s',
        depends_on: ['db'],
      },
    });
    expect((await start()).exit).toBe(0);
    await room.ok('dstack-util deploy stop');
    const end = async (name: string) =>
      Date.parse((await room.ok(`docker inspect --format '{{.State.FinishedAt}}' ${name}`)).trim());
    expect(await end('dstack-web-1')).toBeLessThanOrEqual(await end('dstack-db-1'));
    expect(await room.ok('docker ps -q')).toBe('');
  });
});

it('shows health, restarts, use and logs of containers as docker itself does', () => checkFigures(room));

describe
  .skipIf(!hasPrivateRegistry)
  .sequential('a private registry (Debian’s docker-registry)', () => privateRegistry(() => room));

describe.sequential('app check against the docker compose of the image', () => {
  it('knows exactly the keys that its schema has', () => composeSchemaKeys(room));
  it('refuses what compose refuses, and nothing that it takes', () => judgedAlike(room));
});

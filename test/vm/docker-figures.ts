/** What the agent reads of containers and their logs, against a real dockerd and beside docker's own command. */
import { expect } from 'vitest';
import { Containers } from '../../src/agent/figures/containers.ts';
import { containerLogs } from '../../src/agent/figures/logs.ts';
import { containerUsage } from '../../src/deploy/container-figures.ts';
import type { DockerRoom } from './docker-room.ts';

/** Runs `work` with the agent's idea of docker pointed at the room. */
export async function withDocker<T>(room: DockerRoom, work: () => Promise<T>): Promise<T> {
  const before = process.env['DOCKER_HOST'];
  process.env['DOCKER_HOST'] = `unix://${room.seen('/run/docker.sock')}`;
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = before;
  }
}

async function log(container: string, query: string): Promise<string> {
  const request = {
    method: 'GET',
    path: `/logs/${container}`,
    query,
    headers: {},
    body: () => new Uint8Array(0),
  };
  const { body } = await containerLogs(request);
  if (body instanceof Uint8Array) return Buffer.from(body).toString();
  let text = '';
  for await (const chunk of body as AsyncIterable<Uint8Array>) text += Buffer.from(chunk).toString();
  return text;
}

const run = (room: DockerRoom, name: string, options: string, command: string) =>
  room.ok(`docker run -d --network none --name ${name} ${options} bb:1 sh -c '${command}'`);

const NAMES = ['busy', 'failing', 'terminal'];

/** Adds three containers to whatever is there, and removes them at the end. */
export async function checkFigures(room: DockerRoom): Promise<void> {
  await run(room, 'busy', '--memory 64m --health-cmd true --health-interval 1s', 'while :; do :; done');
  await run(room, 'failing', '--restart on-failure:2', 'echo out; echo err >&2; exit 3');
  await run(room, 'terminal', '-t', 'printf "\\033[31mred\\033[0m\\n"; sleep 1000');
  await withDocker(room, async () => {
    await expect
      .poll(
        async () =>
          (await new Containers().list())
            .filter(({ name }) => NAMES.includes(name))
            .map(({ name, state, details }) => [name, state, details?.health, details?.restarts])
            .toSorted(),
        {
          timeout: 60_000,
          interval: 500,
        },
      )
      .toEqual([
        ['busy', 'running', 'healthy', 0],
        ['failing', 'exited', undefined, 2],
        ['terminal', 'running', undefined, 0],
      ]);
    const list = new Map((await new Containers().list()).map((each) => [each.name, each]));
    const busy = list.get('busy');
    expect(busy?.usage).toMatchObject({
      memoryLimit: 64 * 1024 ** 2,
      cpuSeconds: expect.any(Number),
      memory: expect.any(Number),
    });
    expect(busy?.usage?.memory).toBeLessThan(64 * 1024 ** 2);
    expect(busy?.cpus).toBeGreaterThan(0.01);
    expect(busy?.details?.startedAt).toBe(
      Date.parse((await room.ok("docker inspect -f '{{.State.StartedAt}}' busy")).trim()),
    );
    expect(list.get('failing')).toMatchObject({
      usage: undefined,
      details: { exitCode: 3, outOfMemory: false },
    });
    expect(list.get('terminal')?.details?.terminal).toBe(true);
    const { cpuSeconds: first = 0 } = await containerUsage('busy');
    await expect
      .poll(async () => (await containerUsage('busy')).cpuSeconds, { timeout: 20_000 })
      .toBeGreaterThan(first);

    const lines = (await log('failing', 'text'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(6);
    expect(lines).toContainEqual({ channel: 'stdout', message: 'out\n' });
    expect(lines).toContainEqual({ channel: 'stderr', message: 'err\n' });
    expect(await log('failing', 'text&bare&tail=1')).toMatch(/^(out|err)\n$/);
    expect(await log('failing', 'text&bare&timestamps&tail=1')).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z (out|err)\n$/);
    expect(await log('failing', 'text&bare&since=1d&until=12h')).toBe('');
    expect(await log('terminal', 'text&bare')).toBe('red\n');
    expect(await log('terminal', 'text&bare&ansi')).toBe('\u001b[31mred\u001b[0m\r\n');
    expect(JSON.parse(await log('terminal', 'text'))).toMatchObject({ channel: 'console' });
    expect(await log('nothing', 'text')).toBe('{"error":"No such container: nothing"}');
  });
  await room.ok(`docker rm -f ${NAMES.join(' ')}`);
}

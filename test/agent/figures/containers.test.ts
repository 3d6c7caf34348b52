import { afterEach, describe, expect, it, vi } from 'vitest';
import { Containers } from '../../../src/agent/figures/containers.ts';
import { CONTAINERS, makeScene, type Scene } from '../page/scene.ts';

describe('Containers', () => {
  let scene: Scene;
  afterEach(async () => {
    vi.useRealTimers();
    await scene.close();
  });

  it('asks docker once for all who come in the same seconds', async () => {
    scene = await makeScene();
    const containers = new Containers();
    const [first, second] = await Promise.all([containers.list(), containers.list()]);
    expect(second).toEqual(first);
    await containers.list();
    expect(scene.docker.requests.filter((line) => line.includes('/containers/json'))).toHaveLength(1);
    // a container that does not run is not counted
    expect(scene.docker.requests.filter((line) => line.includes('/stats'))).toHaveLength(2);
  });
  it('computes the use of processors between two looks', async () => {
    const [web] = CONTAINERS();
    if (web === undefined) throw new Error('no container');
    scene = await makeScene({ containers: [web] });
    const containers = new Containers();
    const [first] = await containers.list();
    expect(first?.cpus).toBeCloseTo(324 / 10_800, 2); // since the start
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 10_000 });
    const use = (seconds: number) => ({ ...web.stats, cpu_stats: { cpu_usage: { total_usage: seconds * 1e9 } } });
    web.stats = use(339);
    expect((await containers.list())[0]?.cpus).toBeCloseTo(1.5, 1);
    // started again: the counter begins at zero
    vi.setSystemTime(Date.now() + 10_000);
    web.stats = use(2);
    web.inspect = { State: { StartedAt: new Date(Date.now() - 4000).toISOString() } };
    expect((await containers.list())[0]?.cpus).toBeCloseTo(0.5, 1);
  });
  it('shows the list without details when docker hangs on them', async () => {
    scene = await makeScene({ docker: { hang: /^\/containers\/[a-d]{64}\// } });
    const started = Date.now();
    const list = await new Containers().list();
    expect(list).toHaveLength(4);
    expect(list[0]).toMatchObject({ name: 'dstack-web-1', state: 'running' });
    expect([list[0]?.details, list[0]?.usage]).toEqual([undefined, undefined]);
    expect(Date.now() - started).toBeLessThan(5000);
  });
  it('has for the next caller what came too late for this one', async () => {
    scene = await makeScene({ docker: { delayMs: 2500 } });
    const containers = new Containers();
    await expect(containers.list()).rejects.toMatchObject({ code: 'DOCKER_UNAVAILABLE' });
    await expect.poll(async () => (await containers.list())[0]?.details?.health, { timeout: 10_000 }).toBe('healthy');
    expect(scene.docker.requests.filter((line) => line.includes('/containers/json'))).toHaveLength(1);
  });
  it('does not wait for a docker that never answers', async () => {
    scene = await makeScene({ docker: { hang: /./ } });
    await expect(new Containers().list()).rejects.toMatchObject({ code: 'DOCKER_UNAVAILABLE' });
  });
});

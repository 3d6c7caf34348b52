import { afterEach, describe, expect, it } from 'vitest';
import { readTimeline } from '../../../src/agent/figures/boot-phases.ts';
import { bootState, latestPhases } from '../../../src/agent/figures/boot-state.ts';
import { readinessReport } from '../../../src/agent/figures/readyz.ts';
import { makeScene, type Scene, type SceneOptions, timelineLines } from '../page/scene.ts';

let scene: Scene;
afterEach(() => scene.close());

const report = async (options: SceneOptions = {}) => {
  scene = await makeScene(options);
  return readinessReport(scene.state, scene.ready, scene.timelinePath);
};
const change = (line: string | undefined, changes: Record<string, unknown>) =>
  JSON.stringify({ ...JSON.parse(line ?? ''), ...changes });

describe('/readyz', () => {
  it('tells listeners, phases and containers', async () => {
    const whole = await report();
    expect(whole).toMatchObject({
      ready: true,
      evidence: 'canned',
      listeners: [
        { name: 'internal', state: 'listening' },
        { name: 'guest-api', state: 'failed', restarts: 3 },
      ],
      boot: { state: 'done' },
      composeError: null,
      containers: { total: 4, running: 2, unhealthy: 1 },
    });
    const { phases } = whole['boot'] as { phases: Record<string, unknown>[] };
    expect(phases[4]).toEqual({
      sequence: 'setup',
      phase: 'measure the app',
      start: '2026-01-01T00:00:02.130Z',
      durationMs: 640,
      outcome: 'done',
    });
    const { list } = whole['containers'] as { list: unknown[] };
    expect(list[1]).toEqual({
      name: 'dstack-worker-1',
      image: 'registry.example/team/worker:2026-11',
      state: 'running',
      status: 'Up 2 minutes (unhealthy)',
      health: 'unhealthy',
      restarts: 7,
    });
  });
  it('says why an app is not healthy, if it asks for health checks', async () => {
    expect((await report())['health']).toBeNull();
    const verdict = { healthy: false, unhealthy: [{ name: 'api', status: 'starting' }], error: '' };
    const watched = { ...scene.state, health: { watched: true, verdict: () => verdict } as never };
    expect((await readinessReport(watched, scene.ready, scene.timelinePath))['health']).toEqual(verdict);
  });
  const failed = () => [
    ...timelineLines().slice(0, -2),
    change(timelineLines().at(-2), { outcome: 'failed', error: 'failed to start containers: no such image' }),
  ];
  it('tells the last error of compose where logs are public', async () => {
    expect(await report({ timeline: failed() })).toMatchObject({
      boot: { state: 'failed' },
      composeError: { phase: 'start the app', error: 'failed to start containers: no such image' },
    });
    await scene.close();
    expect(await report({ timeline: failed(), compose: { public_logs: false } })).toMatchObject({
      composeError: { phase: 'start the app', error: 'see the journal' },
    });
  });
  it('forgets an error when a later start succeeds', async () => {
    expect(await report({ timeline: [...failed(), ...timelineLines().slice(-3)] })).toMatchObject({
      boot: { state: 'done' },
      composeError: null,
    });
  });
  it('says why there are no containers to tell of', async () => {
    scene = await makeScene();
    await scene.docker.close();
    const { containers } = await readinessReport(scene.state, scene.ready, scene.timelinePath);
    expect(containers).toEqual({ error: expect.stringContaining('docker does not answer') });
  });
});

describe('the state of the boot', () => {
  it('is unknown, running, then done', async () => {
    scene = await makeScene({
      timeline: [
        ...timelineLines(),
        'damaged',
        '{}',
        '{"sequence":"x","phase":"y","start":"z"}',
        change(timelineLines()[0], { durationMs: -1 }),
        (timelineLines()[0] ?? '').replace(/"durationMs":\d+/, '"durationMs":1e999'),
      ],
    });
    const phases = await readTimeline(scene.timelinePath);
    expect(phases).toHaveLength(12);
    expect(phases[4]?.events.map(({ name }) => name)).toContain('compose-hash');
    expect(bootState([])).toEqual({ state: 'unknown' });
    expect(bootState(phases.slice(0, 9)).state).toBe('running');
    expect(bootState(latestPhases(phases)).state).toBe('done');
    expect(bootState(await readTimeline('/nonexistent'))).toEqual({ state: 'unknown' });
  });
});

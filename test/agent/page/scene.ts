/** An agent in canned mode with everything to show: containers good and ill, a boot, hostile names. For tests of its HTTP face. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readiness } from '../../../src/agent/figures/readyz.ts';
import { type AgentState, loadState } from '../../../src/agent/state.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { START } from '../../../src/deploy/steps.ts';
import { tdxEventLog } from '../../../src/tdx/attestation.ts';
import { type FakeContainer, type FakeDocker, type FakeDockerOptions, fakeDocker } from '../../deploy/fake-docker.ts';
import { type Guest, type GuestOptions, makeGuest } from '../canned.ts';

export interface Scene {
  readonly guest: Guest;
  readonly state: AgentState;
  readonly docker: FakeDocker;
  readonly timelinePath: string;
  readonly ready: Readiness;
  close(): Promise<void>;
}

export interface SceneOptions extends GuestOptions {
  readonly containers?: FakeContainer[];
  readonly docker?: FakeDockerOptions;
  /** lines of the timeline; default: a complete boot */
  readonly timeline?: readonly string[];
}

const NS = 1e9;
const MIB = 1024 * 1024;
export const HOSTILE = `x"><script>alert(1)</script>\u001b[31m\u202e<img src=x onerror=alert(1)>`;

const usage = (cpuSeconds: number, memory: number, limit = 2048 * MIB) => ({
  cpu_stats: { cpu_usage: { total_usage: cpuSeconds * NS }, online_cpus: 2 },
  memory_stats: { usage: memory + 5 * MIB, limit, stats: { inactive_file: 5 * MIB } },
  networks: { eth0: { rx_bytes: 1000, tx_bytes: 2000 }, eth1: { rx_bytes: 1, tx_bytes: 2 } },
});
const started = (seconds: number) => ({ StartedAt: new Date(Date.now() - seconds * 1000).toISOString() });

/** What docker would list for an app with one container of each kind. */
export const CONTAINERS = (): FakeContainer[] => [
  {
    Id: 'a'.repeat(64),
    Names: ['/dstack-web-1'],
    Image: 'nginx:1.29@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef',
    State: 'running',
    Status: 'Up 3 hours (healthy)',
    inspect: { State: { Health: { Status: 'healthy' }, ...started(10_800) }, RestartCount: 0 },
    stats: usage(324, 48 * MIB),
    log: Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, 3]), Buffer.from('hi\n')]),
  },
  {
    Id: 'b'.repeat(64),
    Names: ['/dstack-worker-1'],
    Image: 'registry.example/team/worker:2026-11',
    State: 'running',
    Status: 'Up 2 minutes (unhealthy)',
    inspect: { State: { Health: { Status: 'unhealthy' }, ...started(120) }, RestartCount: 7 },
    stats: usage(180, 900 * MIB, 1024 * MIB),
  },
  {
    Id: 'c'.repeat(64),
    Names: ['/dstack-migrate-1'],
    Image: 'registry.example/team/migrate:2026-11',
    State: 'exited',
    Status: 'Exited (0) 3 hours ago',
    inspect: { State: { ExitCode: 0, ...started(10_800) }, RestartCount: 0 },
  },
  {
    Id: 'd'.repeat(64),
    Names: [`/${HOSTILE}`],
    Image: HOSTILE,
    State: 'exited',
    Status: 'Exited (137) 1 minute ago',
    inspect: { State: { ExitCode: 137, OOMKilled: true, ...started(60) }, RestartCount: 1 },
  },
];

const PHASES: readonly (readonly [string, string, number, string[]?])[] = [
  ['prepare', 'mount the overlays', 310],
  ['prepare', 'look for the TEE', 40],
  ['prepare', 'choose the data disk', 1480],
  ['setup', 'read the host share', 220],
  ['setup', 'measure the app', 640, ['system-preparing', 'app-id', 'compose-hash', 'instance-id', 'boot-mr-done']],
  ['setup', 'get the keys', 880, ['key-provider']],
  ['setup', 'open the data disk', 9200],
  ['setup', 'turn swap on', 0],
  ['setup', 'end the measured part', 35, ['system-ready']],
  ['deploy', START[0]?.name ?? '', 60],
  ['deploy', 'start the app', 17_400],
  ['deploy', START.at(-1)?.name ?? '', 2],
];

/** Timeline lines of a complete boot; digests are those of the measured events. */
export function timelineLines(digests: ReadonlyMap<string, string> = new Map()): string[] {
  let at = Date.UTC(2026, 0, 1);
  return PHASES.map(([sequence, phase, durationMs, events = []]) => {
    const line = JSON.stringify({
      sequence,
      phase,
      start: new Date(at).toISOString(),
      durationMs,
      events: events.map((name) => ({ name, digest: digests.get(name) ?? '' })),
      outcome: durationMs === 0 ? 'skipped' : 'done',
    });
    at += durationMs + 20;
    return line;
  });
}

export async function makeScene(options: SceneOptions = {}): Promise<Scene> {
  const compose = { name: `größe & ${HOSTILE}`, public_logs: true, public_sysinfo: true, ...options.compose };
  const guest = await makeGuest({ ...options, compose });
  const dir = mkdtempSync(join(tmpdir(), 'dstack-scene-'));
  const host = process.env['DOCKER_HOST'];
  const socket = join(dir, 'docker.sock');
  const docker = await fakeDocker(socket, options.containers ?? CONTAINERS(), options.docker);
  process.env['DOCKER_HOST'] = `unix://${socket}`;
  const state = await loadState(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
  const eventLog = tdxEventLog(await state.backend.identity());
  const digests = new Map(eventLog.map(({ event, digest }) => [event, Buffer.from(digest).toString('hex')]));
  const timelinePath = join(dir, 'boot.jsonl');
  writeFileSync(timelinePath, `${(options.timeline ?? timelineLines(digests)).join('\n')}\n`);
  return {
    guest,
    state,
    docker,
    timelinePath,
    ready: {
      ready: true,
      evidence: 'canned',
      uptimeSeconds: 1,
      listeners: [
        {
          name: 'internal',
          address: 'unix:/run/dstack.sock',
          state: 'listening',
          inherited: true,
          restarts: 0,
          connections: { open: 2, accepted: 9, handlers: 0, bodies: 0, busy: 0, answers: 3, shed: 0 },
        },
        {
          name: 'guest-api',
          address: 'vsock:any:8000',
          state: 'failed',
          inherited: false,
          restarts: 3,
          error: 'no vsock',
        },
      ],
    },
    close: async () => {
      if (host === undefined) delete process.env['DOCKER_HOST'];
      else process.env['DOCKER_HOST'] = host;
      await docker.close();
      guest.remove();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

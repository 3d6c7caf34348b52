import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { KmsCalls } from '../../../src/agent/figures/kms-calls.ts';
import { format, gauge, histogram } from '../../../src/agent/metrics/family.ts';
import { metricsText } from '../../../src/agent/metrics/metrics.ts';
import { referenceFamilies } from '../../../src/agent/metrics/reference-families.ts';
import { wayInFamilies } from '../../../src/agent/metrics/way-in-families.ts';
import { Latencies } from '../../../src/agent/rpc/latency.ts';
import { promtool } from '../../house/promtool.ts';
import { makeScene, type Scene, type SceneOptions } from '../page/scene.ts';

/** Name, help and type of each family in a text. */
function families(text: string): { name: string; help: string; type: string }[] {
  return [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\S+)$/gm)].map(([, name = '', help = '', type = '']) => ({
    name,
    help,
    type,
  }));
}

/** Value of a sample by its name and labels as written. */
const sample = (text: string, name: string): number | undefined => {
  const line = text.split('\n').find((each) => each.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
};

/** Label names of the first sample of a family. */
function labelsOf(text: string, name: string): string {
  const [, labels = ''] = new RegExp(`^${name}(?:_bucket)?(?:\\{(.*)\\})? `, 'm').exec(text) ?? [];
  return [...labels.matchAll(/(\w+)="/g)].flatMap(([, label = '']) => (label === 'le' ? [] : [label])).join(', ');
}

describe('the text', () => {
  it('escapes labels and leaves unknown readings out', async () => {
    const { text, contentType } = await format([
      gauge('a', 'one', [1, { name: 'a\\b"c\nd' }], [undefined, { name: 'x' }], [Number.NaN, { name: 'y' }]),
      gauge('b', 'none', [undefined]),
      gauge('c', 'zero', [0]),
    ]);
    expect(
      text
        .trim()
        .split('\n')
        .filter((line) => line !== ''),
    ).toEqual([
      '# HELP a one',
      '# TYPE a gauge',
      'a{name="a\\\\b\\"c\\nd"} 1',
      '# HELP c zero',
      '# TYPE c gauge',
      'c 0',
    ]);
    expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  });
  it('writes histograms with cumulative buckets', async () => {
    const latencies = new Latencies();
    for (const seconds of [0.00005, 0.0005, 0.2, 99]) latencies.observe(seconds, 'Guest', 'Get"Key');
    const { text } = await format([histogram('h_seconds', 'help', ['service', 'method'], latencies)]);
    const labels = 'service="Guest",method="Get\\"Key"';
    expect(sample(text, `h_seconds_bucket{${labels},le="0.0001"}`)).toBe(1);
    expect(sample(text, `h_seconds_bucket{${labels},le="0.0005"}`)).toBe(2);
    expect(sample(text, `h_seconds_bucket{${labels},le="30"}`)).toBe(3);
    expect(sample(text, `h_seconds_bucket{${labels},le="+Inf"}`)).toBe(4);
    expect(sample(text, `h_seconds_count{${labels}}`)).toBe(4);
    expect(sample(text, `h_seconds_sum{${labels}}`)).toBeCloseTo(99.20055, 6);
  });
});

describe('/metrics', () => {
  let scene: Scene;
  afterEach(() => scene.close());
  const read = async (options: SceneOptions = {}) => {
    scene = await makeScene(options);
    const { state, ready, timelinePath } = scene;
    await state.backend.quote(new Uint8Array(64));
    state.stats.observe({
      service: 'DstackGuest',
      method: 'GetKey',
      status: 200,
      code: 'ok',
      milliseconds: 1,
      peer: '',
    });
    return (await metricsText(state, ready, timelinePath)).text;
  };

  it('has figures of machine, containers and agent', async () => {
    const text = await read();
    const meminfo = readFileSync('/proc/meminfo', 'utf8');
    const total = Number(/MemTotal:\s+(\d+)/.exec(meminfo)?.[1]) * 1024;
    expect(sample(text, 'dstack_memory_size_bytes')).toBe(total);
    expect(sample(text, 'system_memory_total')).toBe(total);
    expect(sample(text, 'dstack_container_cpu_seconds_total{name="dstack-web-1"}')).toBe(324);
    expect(sample(text, 'dstack_container_memory_bytes{name="dstack-web-1"}')).toBe(48 * 1024 ** 2);
    expect(sample(text, 'dstack_container_network_receive_bytes_total{name="dstack-web-1"}')).toBe(1001);
    expect(sample(text, 'dstack_container_restarts_total{name="dstack-worker-1"}')).toBe(7);
    expect(sample(text, 'dstack_container_healthy{name="dstack-worker-1"}')).toBe(0);
    expect(sample(text, 'dstack_agent_listener_up{listener="guest-api"}')).toBe(0);
    expect(sample(text, 'dstack_rpc_duration_seconds_count{service="DstackGuest",method="GetKey",outcome="ok"}')).toBe(
      1,
    );
    expect(sample(text, 'dstack_evidence_duration_seconds_count{operation="quote",outcome="ok"}')).toBe(1);
    expect(text).toMatch(
      /^dstack_boot_phase_duration_seconds\{sequence="setup",phase="get the keys",outcome="done"\} 0\.88$/m,
    );
    expect(text).not.toContain('turn swap on');
  });
  it('leaves out what is not known instead of showing 0', async () => {
    const text = await read();
    // no health check, and nothing runs
    expect(text).not.toContain('dstack_container_healthy{name="dstack-migrate-1"}');
    expect(text).not.toContain('dstack_container_memory_bytes{name="dstack-migrate-1"}');
    expect(sample(text, 'dstack_docker_up')).toBe(1);
    await scene.close();
    const without = await read({ docker: { hang: /json$/ } });
    expect(sample(without, 'dstack_docker_up')).toBe(0);
    expect(without).not.toContain('dstack_container_');
    const unreadable = {
      osName: '',
      osVersion: '',
      kernel: '',
      cpuModel: '',
      cpus: 0,
      memory: {},
      load: [0, 0, 0],
      uptime: 1,
      disks: [],
    } as const;
    const { text: reference } = await format(referenceFamilies(unreadable));
    expect(reference).not.toMatch(/system_memory|system_swap|system_num_cpus|disk_/);
  });
  it('keeps the names of the reference, with whole numbers', async () => {
    const text = await read();
    const names = families(text).filter(({ name }) => !name.startsWith('dstack_'));
    expect(names.map(({ name }) => name)).toEqual([
      ...['os_name', 'os_version', 'kernel_version', 'cpu_model', 'num_cpus'].map((name) => `system_${name}`),
      ...['total', 'available', 'used', 'free'].map((name) => `system_memory_${name}`),
      ...['total', 'used', 'free'].map((name) => `system_swap_${name}`),
      'system_uptime',
      ...['1m', '5m', '15m'].map((name) => `system_load_average_${name}`),
      ...['total_size', 'free_size', 'used_size', 'usage_percentage'].map((name) => `disk_${name}`),
    ]);
    expect(new Set(names.map(({ type }) => type))).toEqual(new Set(['gauge']));
    expect(text).toMatch(/^disk_total_size\{name="[^"]+",mount_point="\/"\} \d+$/m);
    expect(text).toMatch(/^system_load_average_1m \d+$/m);
    expect(text).toMatch(/^system_uptime \d+$/m);
  });
  it('tells the health of an app that asks for health checks', async () => {
    expect(sample(await read(), 'dstack_app_healthy')).toBeUndefined();
    const watched = { ...scene.state, health: { watched: true, verdict: () => ({ healthy: false }) } as never };
    expect(sample((await metricsText(watched, scene.ready)).text, 'dstack_app_healthy')).toBe(0);
  });
  it('is described in docs/agent.md, name by name', async () => {
    const text = await read();
    const documented = [
      ...readFileSync('docs/agent.md', 'utf8').matchAll(/^\| `(dstack_\w+)` \| (\w+) \| ([\w, ]*)\| (.+) \|$/gm),
    ].map(([, name = '', type = '', labels = '', help = '']) => ({ name, type, help, labels: labels.trim() }));
    const real = families(text).filter(({ name }) => name.startsWith('dstack_'));
    // a machine without an interface that we show has no network figures; this app asks for no health checks, no gateway
    // and no KMS
    const there = documented.filter(
      ({ name }) =>
        text.includes(`# TYPE ${name} `) || !/^dstack_(?:network_|app_healthy$|gateway_|wireguard_|kms_)/.test(name),
    );
    expect(documented.map(({ name }) => name)).toContain('dstack_app_healthy');
    const none = { registered: false, record: undefined, handshakes: undefined };
    const wayIn = wayInFamilies({ kms: new KmsCalls() }, none, new Map()).map(({ name, help, type }) => ({
      name,
      help,
      type,
    }));
    expect(documented.map(({ name, help, type }) => ({ name, help, type }))).toEqual(expect.arrayContaining(wayIn));
    expect(there).toEqual(real.map((family) => ({ ...family, labels: labelsOf(text, family.name) })));
  });
  it('passes promtool check metrics', { timeout: 240_000 }, async (context) => {
    const found = await promtool();
    const text = await read();
    if ('missing' in found) return context.skip(found.missing);
    const check = (input: string) => spawnSync(found.path, ['check', 'metrics'], { input, encoding: 'utf8' });
    const cut = text.indexOf('# HELP system_os_name');
    const ours = check(text.slice(0, cut));
    expect(ours.stderr + ours.stdout).toBe('');
    expect(ours.status).toBe(0);
    // the reference's names break today's naming rules; the format itself is right
    const all = check(text);
    for (const line of all.stderr.trim().split('\n')) expect(line).toMatch(/^(system|disk)_/);
    expect(all.status).toBe(3);
    expect(check('dstack_bad{ 1\n').status).toBe(1);
  });
});

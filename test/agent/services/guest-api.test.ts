import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guestApi } from '../../../src/agent/services/guest-api.ts';
import { type AgentState, loadState } from '../../../src/agent/state.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { VERSION } from '../../../src/version.ts';
import { fakeDocker } from '../../deploy/fake-docker.ts';
import { type Guest, makeGuest } from '../canned.ts';

let guest: Guest;
let state: AgentState;
beforeAll(async () => {
  guest = await makeGuest();
  state = await loadState(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
});
afterAll(() => guest.remove());

describe('Shutdown', () => {
  const order: string[] = [];
  const options = {
    notify: async (event: string, payload: string) => void order.push(`${event} ${payload}`),
    powerOff: async () => void order.push('off'),
  };
  it('answers at once, tells the host, then powers off', async () => {
    const real: AgentState = { ...state, backend: { ...state.backend, kind: 'tdx' } };
    expect(await guestApi(real, options).Shutdown?.({})).toEqual({});
    await expect.poll(() => order).toEqual(['shutdown.progress powering off', 'off']);
  });
  it('never powers off the machine of a developer', async () => {
    order.length = 0;
    await expect(guestApi(state, options).Shutdown?.({})).rejects.toMatchObject({ code: 'RPC_REQUEST_INVALID' });
    expect(order).toEqual([]);
  });
});

describe('ListContainers', () => {
  const dir = mkdtempSync(join(tmpdir(), 'dstack-guest-api-'));
  const host = process.env['DOCKER_HOST'];
  afterAll(() => {
    if (host === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = host;
    rmSync(dir, { recursive: true, force: true });
  });
  it('lists what docker lists, also what has stopped', async () => {
    process.env['DOCKER_HOST'] = `unix://${join(dir, 'docker.sock')}`;
    const docker = await fakeDocker(join(dir, 'docker.sock'), [
      {
        Id: 'abc',
        Names: ['/web', '/alias/web'],
        Image: 'nginx',
        ImageID: 'sha256:1',
        Created: 17,
        State: 'running',
        Status: 'Up',
      },
      { Id: 'def', Names: ['/old\u001b[31m'], State: 'exited' },
    ]);
    const api = guestApi(state, { notify: async () => {} });
    expect(await api.ListContainers?.({})).toEqual({
      containers: [
        {
          id: 'abc',
          names: ['/web', '/alias/web'],
          image: 'nginx',
          image_id: 'sha256:1',
          created: 17,
          state: 'running',
          status: 'Up',
        },
        { id: 'def', names: ['/old\u001b[31m'], image: '', image_id: '', created: 0, state: 'exited', status: '' },
      ],
    });
    await docker.close();
    await expect(api.ListContainers?.({})).rejects.toMatchObject({ code: 'DOCKER_UNAVAILABLE' });
  });
});

describe('Info', () => {
  it.each([true, false])('shows the measurements when public_tcbinfo is %s', async (open) => {
    const other = await makeGuest({ compose: { public_tcbinfo: open } });
    try {
      const its = await loadState(await loadAgentConfig({ file: other.configFile, root: other.dir, cwd: other.dir }));
      const info = await guestApi(its, { notify: async () => {} }).Info?.({});
      expect(Object.keys(info ?? {})).toEqual([
        'version',
        'app_id',
        'instance_id',
        'app_cert',
        'tcb_info',
        'device_id',
      ]);
      expect(info).toMatchObject({ version: VERSION });
      expect(Buffer.from(info?.app_id ?? []).toString('hex')).toBe(other.appId);
      if (open) expect(JSON.parse(info?.tcb_info ?? '')).toMatchObject({ app_compose: other.composeText });
      else expect(info?.tcb_info).toBe('');
    } finally {
      other.remove();
    }
  });
});

describe('the figures of this machine, beside what its own tools say', () => {
  const api = () => guestApi(state, { notify: async () => {} });
  const tool = (command: string) => execFileSync('/bin/sh', ['-c', command], { encoding: 'utf8' }).trim();

  it('SysInfo', async () => {
    const info = await api().SysInfo?.({});
    if (info === undefined) throw new Error('no answer');
    expect(info.kernel_version).toBe(tool('uname -r'));
    expect(info.num_cpus).toBe(Number(tool('grep -c ^processor /proc/cpuinfo')));
    expect(info.cpu_model).toContain(tool("sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -1"));
    const clock = Number(tool("sed -n 's/^cpu MHz[[:space:]]*: //p' /proc/cpuinfo | head -1"));
    const [, shown] = / @(\d+) MHz$/.exec(info.cpu_model) ?? [];
    expect(Math.abs(Number(shown) - clock)).toBeLessThan(clock / 2 + 1);
    expect(info.os_name).toBe(tool('. /etc/os-release; echo "$NAME"'));
    expect(info.os_version).toBe(tool('. /etc/os-release; echo "$VERSION_ID"'));
    const meminfo = (key: string) => 1024 * Number(tool(`sed -n 's/^${key}: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo`));
    expect(info.total_memory).toBe(meminfo('MemTotal'));
    expect(info.used_memory).toBe(info.total_memory - info.available_memory);
    expect(Math.abs(info.available_memory - meminfo('MemAvailable')) / info.total_memory).toBeLessThan(0.2);
    expect(info.total_swap).toBe(meminfo('SwapTotal'));
    expect(info.used_swap + info.free_swap).toBe(info.total_swap);
    expect(Math.abs(info.uptime - Number(tool('cut -d. -f1 /proc/uptime')))).toBeLessThan(5);
    const [one = 0] = tool('cat /proc/loadavg').split(' ').map(Number);
    expect(Math.abs(info.loadavg_one / 100 - one)).toBeLessThan(2);
    const [source, size] = tool('df -B1 --output=source,size / | tail -1').split(/\s+/);
    expect(info.disks).toHaveLength(1);
    expect(info.disks[0]).toMatchObject({ mount_point: '/', total_size: Number(size) });
    expect([source, '/dev/root']).toContain(info.disks[0]?.name);
  });
  it('NetworkInfo', async () => {
    const info = await api().NetworkInfo?.({});
    if (info === undefined) throw new Error('no answer');
    const names = tool('ls /sys/class/net')
      .split(/\s+/)
      .filter((name) => /^(dstack-wg0$|enp|eth)/.test(name));
    expect(info.interfaces.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    for (const { name, rx_bytes } of info.interfaces)
      expect(Number(rx_bytes)).toBeLessThanOrEqual(Number(tool(`cat /sys/class/net/${name}/statistics/rx_bytes`)));
    expect(info.dns_servers).toEqual(
      tool("sed -n 's/^nameserver *//p' /etc/resolv.conf")
        .split('\n')
        .filter((line) => line !== ''),
    );
    expect(info.wg_info).not.toBe(undefined);
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guestApi } from '../../src/agent/guest-api.ts';
import { type AgentState, loadState } from '../../src/agent/state.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { fakeDocker } from '../deploy/fake-docker.ts';
import { type Guest, makeGuest } from './canned.ts';

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
  it('lists what docker lists', async () => {
    process.env['DOCKER_HOST'] = `unix://${join(dir, 'docker.sock')}`;
    const docker = await fakeDocker(join(dir, 'docker.sock'), [{ Id: 'abc', Names: ['/web'], State: 'running' }]);
    const api = guestApi(state, { notify: async () => {} });
    expect(await api.ListContainers?.({})).toEqual({
      containers: [{ id: 'abc', names: ['/web'], image: '', image_id: '', created: 0, state: 'running', status: '' }],
    });
    await docker.close();
    await expect(api.ListContainers?.({})).rejects.toMatchObject({ code: 'DOCKER_UNAVAILABLE' });
  });
});

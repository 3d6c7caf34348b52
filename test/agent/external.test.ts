/** The public port as its clients see it: a running agent in canned mode, over TCP. */
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Agent, startAgent } from '../../src/agent/serve.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { VERSION_TEXT } from '../../src/version.ts';
import { type FakeDocker, fakeDocker } from '../deploy/fake-docker.ts';
import { type Guest, makeGuest } from './canned.ts';

const OPEN = { public_logs: true, public_sysinfo: true, public_tcbinfo: true };
const CLOSED = { public_logs: false, public_sysinfo: false, public_tcbinfo: false };

describe('the public port', () => {
  let guest: Guest;
  let agent: Agent;
  let docker: FakeDocker;
  let dir = '';
  let url = '';
  const host = process.env['DOCKER_HOST'];
  const start = async (compose: Record<string, unknown>) => {
    dir = mkdtempSync(join(tmpdir(), 'dstack-external-'));
    const log = Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 0, 0, 3]), Buffer.from('hi\n')]);
    docker = await fakeDocker(join(dir, 'docker.sock'), [
      { Id: 'a'.repeat(64), Names: ['/web'], State: 'running', log },
    ]);
    process.env['DOCKER_HOST'] = `unix://${join(dir, 'docker.sock')}`;
    guest = await makeGuest({ compose });
    agent = await startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
    url = `http://127.0.0.1:${guest.port}`;
  };
  afterEach(async () => {
    if (host === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = host;
    await agent.stop();
    await docker.close();
    guest.remove();
    rmSync(dir, { recursive: true, force: true });
  });
  const get = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(url + path, init);
    return { status: response.status, headers: response.headers, text: await response.text() };
  };

  it('answers every route of an app that shows everything', async () => {
    await start(OPEN);
    const page = await get('/');
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-/);
    expect(page.headers.get('x-content-type-options')).toBe('nosniff');
    expect(page.headers.get('x-app-version')).toBe(VERSION_TEXT);
    expect(page.text).toContain(`http://127.0.0.1:${guest.port}/prpc/Worker.GetAttestationForAppKey`);
    expect(JSON.parse((await get('/healthz')).text)).toMatchObject({ status: 'ok', version: VERSION_TEXT });
    const ready = await get('/readyz');
    expect(ready.status).toBe(200);
    expect(JSON.parse(ready.text)).toMatchObject({ ready: true, containers: { total: 1, running: 1 } });
    const metrics = await get('/metrics');
    expect(metrics.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    expect((await get('/logs/web?text&bare')).text).toBe('hi\n');
  });
  it('writes the page, the readiness and the metrics once for all who ask within a second', async () => {
    await start(OPEN);
    const list = vi.spyOn(agent.state.containers, 'list');
    const started = Date.now();
    const ask = (path: string, at: number) =>
      new Promise<string>((resolve, reject) => {
        const options = { host: '127.0.0.1', port: guest.port, path, headers: { host: `guest-${at}.example:8090` } };
        request(options, async (response) => resolve((await response.toArray()).join('')))
          .on('error', reject)
          .end();
      });
    for (let at = 0; at < 20; at++) {
      const page = await ask('/', at);
      expect(page).toContain(`curl -sSf &#39;http://guest-${at}.example:8090/prpc/`);
      expect(page.match(/guest-\d+|invalid/g)).toEqual([`guest-${at}`]);
      expect(await ask('/metrics', at)).toContain('dstack_agent_ready 1');
      expect(JSON.parse(await ask('/readyz', at)).ready).toBe(true);
    }
    expect(list.mock.calls.length).toBeLessThanOrEqual(3 * (1 + Math.ceil((Date.now() - started) / 1000)));
  });
  it('has no route for what an app keeps private', async () => {
    await start(CLOSED);
    expect((await get('/')).status).toBe(200);
    expect((await get('/healthz')).status).toBe(200);
    for (const path of ['/metrics', '/logs/web', `/logs/${'a'.repeat(64)}`])
      expect((await get(path)).status, path).toBe(404);
    expect(docker.requests.filter((line) => line.includes('/logs'))).toEqual([]);
  });
  it('takes GET and HEAD only, and no other path', async () => {
    await start(OPEN);
    for (const path of ['/', '/readyz', '/healthz', '/metrics']) {
      const head = await get(path, { method: 'HEAD' });
      expect([head.status, head.text], path).toEqual([200, '']);
      expect((await get(path, { method: 'POST' })).status, path).toBe(405);
    }
    for (const path of ['/index.html', '/logs', '/logs/', '/logs/web/', '/logs/a/b', '/logs//web', '/metrics/', '//'])
      expect((await get(path)).status, path).toBe(404);
  });
  it('lets docker go when the follower of a quiet log hangs up', async () => {
    await start(OPEN);
    const client = new AbortController();
    const response = await fetch(`${url}/logs/web?follow=true&text&bare`, { signal: client.signal });
    const reader = response.body?.getReader();
    expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe('hi\n');
    expect(docker.readers.size).toBe(1);
    client.abort();
    await expect.poll(() => docker.readers.size, { timeout: 5000 }).toBe(0);
  });
  it('counts calls by the names of the table only', async () => {
    await start(OPEN);
    await get('/prpc/Worker.Version');
    await get('/prpc/Version');
    await get('/prpc/Worker.Nonsense%0a');
    const { text } = await get('/metrics');
    expect(text).toContain('dstack_rpc_duration_seconds_count{service="Worker",method="Version",outcome="ok"} 2');
    expect(text).toContain(
      'dstack_rpc_duration_seconds_count{service="Worker",method="unknown",outcome="RPC_METHOD_UNKNOWN"} 1',
    );
    expect(text).not.toContain('Nonsense');
    expect(text).toMatch(/^dstack_agent_listener_up\{listener="external"\} 1$/m);
  });
});

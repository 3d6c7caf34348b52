import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dashboard } from '../../src/agent/dashboard.ts';
import { escapeHtml, html } from '../../src/agent/html.ts';
import type { Readiness } from '../../src/agent/readiness.ts';
import { type AgentState, loadState } from '../../src/agent/state.ts';
import { loadAgentConfig } from '../../src/config/agent-config.ts';
import { type FakeDocker, fakeDocker } from '../deploy/fake-docker.ts';
import { type Guest, makeGuest } from './canned.ts';

describe('html', () => {
  it('escapes every value, in attributes and lists too', () => {
    expect(html`<a title="${`"'><&`}">${['<i>', 1]}${undefined}${html`<b>${'&'}</b>`}</a>`.text).toBe(
      '<a title="&quot;&#39;&gt;&lt;&amp;">&lt;i&gt;1<b>&amp;</b></a>',
    );
  });
  it('lets no markup and no control character through', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escapeHtml(text)).not.toMatch(/[<>"'\u0000-\u0008\u001b\u202e]/);
        expect(escapeHtml(text).replace(/&(?:amp|lt|gt|quot|#39);/g, '')).not.toContain('&');
      }),
    );
  });
});

describe('the page', () => {
  let guest: Guest;
  let state: AgentState;
  let docker: FakeDocker;
  const dir = mkdtempSync(join(tmpdir(), 'dstack-page-'));
  const timeline = join(dir, 'boot.jsonl');
  const ready: Readiness = { ready: true, evidence: 'canned', uptimeSeconds: 1, listeners: [] };
  const host = process.env['DOCKER_HOST'];

  beforeAll(async () => {
    guest = await makeGuest({ compose: { public_logs: true, public_sysinfo: true } });
    state = await loadState(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
    docker = await fakeDocker(join(dir, 'docker.sock'), [{ Id: 'abc', Names: ['/web"<x>'], State: 'running' }]);
    process.env['DOCKER_HOST'] = `unix://${join(dir, 'docker.sock')}`;
    const phase = (name: string, second: number, durationMs: number, outcome = 'done') =>
      JSON.stringify({
        sequence: 'setup',
        phase: name,
        start: `2026-01-01T00:00:0${second}.000Z`,
        durationMs,
        outcome,
        events: [{ name: 'app-id', digest: 'x' }],
      });
    writeFileSync(
      timeline,
      [
        phase('measure <app>', 0, 1000),
        'damaged',
        '{}',
        phase('open the disk', 1, 3000),
        phase('nothing', 4, 0, 'skipped'),
        '',
      ].join('\n'),
    );
  });
  afterAll(async () => {
    if (host === undefined) delete process.env['DOCKER_HOST'];
    else process.env['DOCKER_HOST'] = host;
    await docker.close();
    guest.remove();
    rmSync(dir, { recursive: true, force: true });
  });

  it('draws the boot as bars on one time axis', async () => {
    const page = await dashboard(state, ready, timeline);
    expect(page).toContain('3 phases in 4.0 s, 2026-01-01T00:00:00Z');
    expect(page).toContain('measure &lt;app&gt;<small>setup</small><small>app-id</small>');
    expect(page).toContain('margin-left:0.00%;width:max(2px,25.00%)');
    expect(page).toContain('margin-left:25.00%;width:max(2px,75.00%)');
    expect(page).toMatch(/<tr class="skipped">/);
  });
  it('lists events with digests, containers with their logs, and the system', async () => {
    const page = await dashboard(state, ready, timeline);
    expect(page.match(/class="mono digest">[0-9a-f]{96}</g)).toHaveLength(7);
    expect(page).toContain('web&quot;&lt;x&gt;');
    expect(page).toContain('href="/logs/web%22%3Cx%3E?text=true');
    expect(page).toContain('<h2>System</h2>');
    expect(page).not.toContain('<x>');
  });
  it('has no timeline when there is none, and says that it is not ready', async () => {
    const page = await dashboard(state, { ...ready, ready: false }, join(dir, 'none'));
    expect(page).not.toContain('<h2>Boot</h2>');
    expect(page).toContain('not ready');
  });
  it('still shows itself when no evidence can be taken', async () => {
    const broken = {
      ...state,
      backend: { ...state.backend, identity: () => Promise.reject(new Error('device <gone>')) },
    };
    const page = await dashboard(broken, ready, timeline);
    expect(page).toContain('No evidence can be taken: device &lt;gone&gt;');
    expect(page).toContain('<h2>Containers</h2>');
  });
});

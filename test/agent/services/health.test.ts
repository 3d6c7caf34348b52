/** The health of an app as gateways, people and scrapers see it, from the file in which the app itself says it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { type Agent, startAgent } from '../../../src/agent/serve.ts';
import { decodeProtobuf } from '../../../src/codec/prpc-protobuf.ts';
import { loadAgentConfig } from '../../../src/config/agent-config.ts';
import { type Guest, makeGuest } from '../canned.ts';
import { ask, askJson } from '../raw-client.ts';

let dir: string;
let file: string;
let guest: Guest;
let agent: Agent;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'dstack-health-'));
  file = join(dir, 'health');
  const requirements = { health_check: true, health_status_file: file };
  guest = await makeGuest({ compose: { manifest_version: '3', requirements, public_sysinfo: true } });
  agent = await startAgent(await loadAgentConfig({ file: guest.configFile, root: guest.dir, cwd: guest.dir }));
});
afterAll(async () => {
  await agent.stop();
  guest.remove();
  rmSync(dir, { recursive: true });
});

const now = () => Math.floor(Date.now() / 1000);
const told = (status: string) => ({ healthy: false, unhealthy: [{ name: '<health_status_file>', status }], error: '' });

it.each([
  ['nothing', () => {}, told('it does not exist')],
  ['a good word', () => writeFileSync(file, `healthy\n${now()}\n`), { healthy: true, unhealthy: [], error: '' }],
  ['a bad word', () => writeFileSync(file, `Unhealthy\n${now()}\n`), told('the app reports unhealthy')],
  ['an old word', () => writeFileSync(file, `healthy\n${now() - 3600}\n`), told('more than 60 s')],
  ['a pipe that nobody writes to', () => execFileSync('mkfifo', [file]), told('not regular')],
])('%s is told over every way', async (_, write, expected) => {
  rmSync(file, { force: true });
  write();
  await agent.state.health.refresh();
  const verdict = {
    ...expected,
    unhealthy: expected.unhealthy.map(({ name, status }) => ({ name, status: expect.stringContaining(status) })),
  };
  expect(JSON.parse((await askJson(guest.port, '/prpc/v1/Health')).body)).toEqual(verdict);
  const binary = await ask(guest.port, 'POST', '/prpc/v1/Health', new Uint8Array(0));
  expect(decodeProtobuf('HealthResponse', Buffer.from(binary.body, 'latin1'))).toEqual(verdict);
  // these are written once a second
  const readyz = async () => JSON.parse((await ask(guest.port, 'GET', '/readyz')).body).health;
  await vi.waitFor(async () => expect(await readyz()).toEqual(verdict), { timeout: 15_000 });
  const metrics = async () => (await ask(guest.port, 'GET', '/metrics')).body;
  const sample = `\ndstack_app_healthy ${Number(expected.healthy)}\n`;
  await vi.waitFor(async () => expect(await metrics()).toContain(sample), { timeout: 15_000 });
});

/** What the page says first when something is wrong: what, what to do, and the runbook of the alert for it. */
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GatewayFigures } from '../../../src/agent/figures/gateway-figures.ts';
import { KmsCalls } from '../../../src/agent/figures/kms-calls.ts';
import { page } from '../../../src/agent/page/page.ts';
import { ENDING_S, GATEWAY_ENDING_S, SILENT_S, troubleBox, troublesOf } from '../../../src/agent/page/troubles.ts';
import { DstackError } from '../../../src/errors.ts';
import { CONTAINERS, makeScene, type Scene, timelineLines } from './scene.ts';

const NOW = 1_800_000_000;
const HEALTHY = { healthy: true, unhealthy: [], error: '' };
const GATEWAY = { registered: true, record: undefined, handshakes: new Map([['p', NOW - 20]]) };
const registration = (outcome: 'ok' | 'GATEWAY_UNREACHABLE') => ({
  attemptedAt: NOW,
  registeredAt: undefined,
  failures: 3,
  outcome,
  certNotAfter: undefined,
  kms: undefined,
});

let scene: Scene;
beforeEach(async () => {
  scene = await makeScene({ containers: CONTAINERS().slice(0, 1) });
});
afterEach(() => scene.close());

type Parts = {
  ready?: boolean;
  boot?: Parameters<typeof troublesOf>[2];
  containers?: Parameters<typeof troublesOf>[3];
  wayIn?: Partial<NonNullable<Parameters<typeof troublesOf>[4]>>;
  kms?: KmsCalls;
  logs?: boolean;
};

function box({
  ready = true,
  boot = { state: 'done' },
  containers = { value: [] },
  wayIn,
  kms,
  logs = true,
}: Parts): string {
  const { state } = scene;
  const compose = { ...state.compose, publicLogs: logs };
  const health = { watched: true, verdict: () => HEALTHY } as never;
  const readiness = { ...scene.ready, ready };
  return troubleBox(
    troublesOf(
      { ...state, compose, health, kms: kms ?? new KmsCalls() },
      readiness,
      boot,
      containers,
      wayIn && { gateway: GATEWAY, certificates: new Map(), ...wayIn },
      NOW,
    ),
  ).text;
}

const failed = new KmsCalls();
failed.tell(new DstackError('KMS_TIMEOUT', 'late'));
const phase = { sequence: 'deploy', phase: 'start the app', start: 0, durationMs: 1, events: [], error: 'a <secret>' };
const container = (state: string, details: object) =>
  ({ value: [{ name: '<web>', id: 'a', image: 'i', status: '', state, details }] }) as never;

describe('what to do next', () => {
  it('is nothing where all is well', () => {
    expect(box({})).toBe('');
    expect(box({ wayIn: {} })).toBe('');
    expect(box({ wayIn: { certificates: new Map([['gateway_client', NOW + GATEWAY_ENDING_S]]) } })).toBe('');
    expect(box({ wayIn: { certificates: new Map([['app_ca', NOW + ENDING_S]]) } })).toBe('');
    expect(box({ containers: container('exited', { exitCode: 0 }) })).toBe('');
  });
  it.each([
    [{ ready: false }, '<strong>guest-api</strong> does not listen', 'DstackAgentNotReady'],
    [
      { boot: { state: 'failed', failure: { ...phase, outcome: 'failed' } } },
      '<strong>start the app</strong> failed: <code>a &lt;secret&gt;</code>',
      'DstackBootPhaseFailed',
    ],
    [
      { boot: { state: 'failed', failure: { ...phase, outcome: 'failed' } }, logs: false },
      '<strong>start the app</strong> failed.',
      'DstackBootPhaseFailed',
    ],
    [{ containers: { failure: 'hangs' } }, 'Docker does not answer', 'DstackDockerDown'],
    [
      { containers: container('running', { health: 'unhealthy' }) },
      'The health check of <strong>&lt;web&gt;</strong> fails.',
      'DstackContainerUnhealthy',
    ],
    [{ containers: container('restarting', {}) }, 'again and again: <strong>&lt;web&gt;', 'DstackContainerRestarts'],
    [
      { wayIn: { gateway: { ...GATEWAY, registered: false, record: registration('GATEWAY_UNREACHABLE') } } },
      '(GATEWAY_UNREACHABLE, 3 attempts)',
      'DstackGatewayNotRegistered',
    ],
    [{ wayIn: { gateway: { ...GATEWAY, registered: false } } }, '(nobody has tried yet)', 'DstackGatewayNotRegistered'],
    [
      { wayIn: { gateway: { ...GATEWAY, handshakes: new Map([['p', NOW - SILENT_S - 1]]) } } },
      'the last handshake was 5 min ago',
      'DstackTunnelSilent',
    ],
    [
      { wayIn: { gateway: { ...GATEWAY, handshakes: new Map([['p', 0]]) } } },
      'there was no handshake yet',
      'DstackTunnelSilent',
    ],
    [
      { wayIn: { certificates: new Map([['app_ca', NOW + 86_400 * 3]]) } },
      'The CA of the app <strong>ends in 3 d 0 h</strong>',
      'DstackCertificateEnding',
    ],
    [
      { wayIn: { certificates: new Map([['gateway_client', NOW - 60]]) } },
      'The certificate for gateways <strong>ended 1 min ago</strong>',
      'DstackGatewayCertificateEnding',
    ],
    [{ wayIn: {}, kms: failed }, '(KMS_TIMEOUT)', 'DstackKmsCallFails'],
  ] as unknown as [Parts, string, string][])('%# says %s', (parts, words, runbook) => {
    const text = box(parts);
    expect(text).toContain('What to do next');
    expect(text).toContain(words);
    expect(text.match(/docs\/runbooks\.md#\w+/g)).toEqual([`docs/runbooks.md#${runbook.toLowerCase()}`]);
    expect(readFileSync('docs/runbooks.md', 'utf8')).toContain(`\n## ${runbook}\n`);
    expect(text).not.toContain(parts.logs === false ? 'secret' : '<secret>');
  });
  it('has the limits of the alerts', () => {
    const alerts = readFileSync('docs/observability/alerts.yml', 'utf8');
    expect(alerts).toContain(`(dstack_wireguard_latest_handshake_timestamp_seconds) > ${SILENT_S}\n`);
    expect(alerts).toContain(`- time() < ${ENDING_S / 86_400} * 86400\n`);
    expect(alerts).toContain(`- time() < ${GATEWAY_ENDING_S}\n`);
  });
  it('waits for the end of the boot before it misses a gateway', () => {
    const wayIn = { gateway: { ...GATEWAY, registered: false } };
    expect(box({ boot: { state: 'running' }, wayIn })).toBe('');
  });
});

describe('on the page', () => {
  const gateway = new GatewayFigures(
    { gatewayEnabled: true },
    { recordFile: '/nonexistent/gateway.json', handshakes: async () => new Map([['p', 1_700_000_000]]) },
  );
  const shown = async (publicSysinfo: boolean) => {
    const { state, ready, timelinePath } = scene;
    const compose = { ...state.compose, publicSysinfo };
    return (await page({ ...state, compose, gateway }, ready, { timelinePath })).text;
  };
  it('it comes before everything else, and the state at the top counts it', async () => {
    const text = await shown(true);
    expect(text.indexOf('What to do next')).toBeGreaterThan(text.indexOf('<main>'));
    expect(text.indexOf('What to do next')).toBeLessThan(text.indexOf('>Containers<'));
    expect(text).toContain('>running, 2 things to do</a>');
    expect(text).toContain('<dt>Gateway</dt><dd><span class="bad">not registered</span>, last time: never</dd>');
    expect(text).toMatch(/<dt>Tunnel<\/dt><dd>last handshake \d+ d \d+ h ago<\/dd>/);
  });
  it('it does not tell of the gateway where the app keeps the figures of its machine private', async () => {
    const text = await shown(false);
    expect(text).not.toContain('What to do next');
    expect(text).toContain('>running</a>');
  });
  it('the boot stays open only while there is something to see in it', async () => {
    const folded = '<details><summary>Phase by phase</summary>';
    const { state, ready, timelinePath } = scene;
    const ended = (await page(state, ready, { timelinePath })).text;
    expect(ended).toContain(folded);
    await scene.close();
    scene = await makeScene({ timeline: timelineLines().slice(0, -1) });
    const running = (await page(scene.state, scene.ready, { timelinePath: scene.timelinePath })).text;
    expect(running).toContain(folded.replace('>', ' open>'));
  });
  it('a long list of containers is folded behind its beginning', async () => {
    await scene.close();
    const [one] = CONTAINERS();
    if (one === undefined) throw new Error('no container');
    const many = Array.from({ length: 14 }, (_, i) => ({ ...one, Id: `${i}`.padStart(64, '0'), Names: [`/web-${i}`] }));
    scene = await makeScene({ containers: many });
    const { text } = await page(scene.state, scene.ready, { timelinePath: scene.timelinePath });
    const at = text.indexOf('<summary>4 more containers</summary>');
    expect(at).toBeGreaterThan(text.indexOf('<strong>web-9</strong>'));
    expect(text.indexOf('<strong>web-10</strong>')).toBeGreaterThan(at);
  });
});

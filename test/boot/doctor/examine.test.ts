import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { examine } from '../../../src/boot/doctor/examine.ts';
import type { Finding } from '../../../src/boot/doctor/finding.ts';
import type { GuestMachine } from '../../../src/boot/doctor/guest-machine.ts';
import { DstackError } from '../../../src/errors.ts';
import type { Program } from '../../../src/sys/programs.ts';
import type { RuntimeEvent } from '../../../src/tdx/events.ts';
import { replayRuntime } from '../../../src/tdx/replay.ts';

const event = (name: string): RuntimeEvent => ({ event: name, payload: new Uint8Array([1]), version: 1 });
const EVENTS = [event('app-id'), event('system-ready')];
const NOW = Date.UTC(2026, 0, 2);

const certificate = (days: number): string =>
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      '/dev/null',
      '-subj',
      '/CN=app',
      '-days',
      String(days),
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  );

const TRACKING = '7F7F0101,,1,1767312000.0,0.000012,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,Normal';
const unit = (id: string, state = 'active', restarts = 0): string =>
  `Id=${id}\nLoadState=loaded\nActiveState=${state}\nResult=${state === 'failed' ? 'exit-code' : 'success'}\nNRestarts=${restarts}\n`;

/** What a healthy guest says; the gateway's configuration stands for every other file. */
const FILES: Record<string, string> = {
  '/proc/cmdline': 'console=ttyS0 systemd.import_credentials=no\n',
  '/proc/sys/kernel/sysrq': '0\n',
};

/** A guest in good health, with the given illness. */
function guest(
  illness: Partial<GuestMachine> = {},
  programs: Partial<Record<Program, { exit: number; stdout: string; stderr?: string }>> = {},
): GuestMachine {
  const answers: typeof programs = {
    chronyc: { exit: 0, stdout: TRACKING },
    systemctl: { exit: 0, stdout: ['dstack-prepare.service', 'docker.service'].map((id) => unit(id)).join('\n') },
    wg: { exit: 0, stdout: `PEER=\t${NOW / 1000 - 30}\n` },
    ...programs,
  };
  return {
    now: () => NOW,
    look: async (program) => ({ stderr: '', ...(answers[program] ?? { exit: 127, stdout: '' }) }),
    text: async (path) => FILES[path] ?? '[Interface]',
    names: async () => [],
    target: async () => undefined,
    tee: async () => 'dstack-tdx',
    rtmr3: async () => replayRuntime(EVENTS),
    events: async () => EVENTS,
    disk: async () => ({
      device: '/dev/vdb1',
      size: 1,
      partition: null,
      mark: null,
      content: { kind: 'luks' } as never,
      header: { accepted: true, uuid: 'u', keySlots: 1, iterations: 1000, rule: null, reason: null },
      mapper: '/dev/mapper/dstack_data_disk',
      fileSystem: 'ext4',
      mountPoints: ['/var/volatile/dstack/persistent'],
    }),
    used: async () => 0.3,
    call: async () => ({}),
    health: async () => null,
    containers: async () => [
      {
        Id: '1',
        Names: ['/app'],
        Image: '',
        ImageID: '',
        Created: 0,
        State: 'running',
        Status: 'Up 2 minutes (healthy)',
        Labels: {},
      },
    ],
    caCert: async () => undefined,
    ...illness,
  };
}

const find = async (ill: GuestMachine, check: string): Promise<Finding[]> =>
  (await examine(ill)).filter((finding) => finding.check === check);

describe('doctor', () => {
  it('finds nothing wrong with a healthy guest', async () => {
    const findings = await examine(guest());
    expect(findings.filter(({ status }) => status !== 'ok')).toEqual([
      { check: 'certificate', status: 'skipped', text: 'no keys yet' },
      { check: 'app health', status: 'skipped', text: 'the application does not ask for health checks' },
    ]);
    expect(findings).toHaveLength(12);
  });

  it('names a register that no verifier would accept', async () => {
    const [finding] = await find(guest({ rtmr3: async () => new Uint8Array(48) }), 'event log and RTMR3');
    expect(finding).toMatchObject({ status: 'failed', advice: expect.stringContaining('boot it again') });
  });

  it('sees a boot that is not over', async () => {
    const events = [event('app-id')];
    const ill = guest({ events: async () => events, rtmr3: async () => replayRuntime(events) });
    expect(await find(ill, 'event log and RTMR3')).toMatchObject([{ status: 'warning' }]);
  });

  it.each([
    [
      'a rejected header',
      { header: { accepted: false, uuid: null, keySlots: 1, iterations: null, rule: 'x', reason: 'rule cipher' } },
      'failed',
      /rule cipher/,
    ],
    ['a disk that is not mounted', { mountPoints: [] }, 'failed', /not mounted/],
    ['a disk without encryption', { header: null }, 'warning', /not encrypted/],
  ])('sees %s', async (_, change, status, text) => {
    const disk = await guest().disk();
    const found = await find(guest({ disk: async () => ({ ...disk, ...change }) }), 'data disk');
    expect(found).toMatchObject([{ status, text: expect.stringMatching(text), advice: expect.any(String) }]);
  });

  it.each([
    [0.5, 'ok'],
    [0.92, 'warning'],
    [0.99, 'failed'],
  ])('a disk filled to %d is %s', async (used, status) => {
    expect(await find(guest({ used: async () => used }), 'free space')).toMatchObject([{ status }]);
  });

  it.each([
    ['no chronyd', { exit: 1, stdout: '506 Cannot talk to daemon\n' }, 'warning', /does not answer/],
    [
      'no time source',
      { exit: 0, stdout: TRACKING.replace('Normal', 'Not synchronised') },
      'warning',
      /not synchronised/,
    ],
    ['a clock that is off', { exit: 0, stdout: TRACKING.replace('0.000012', '-0.25') }, 'warning', /250\.0 ms/],
  ])('sees %s', async (_, chronyc, status, text) => {
    expect(await find(guest({}, { chronyc }), 'clock')).toMatchObject([{ status, text: expect.stringMatching(text) }]);
  });

  it('looks at the dates of the certificate', async () => {
    const pem = certificate(30);
    const at = (days: number) =>
      find(guest({ caCert: async () => pem, now: () => Date.now() + days * 86_400_000 }), 'certificate');
    expect(await at(0)).toMatchObject([{ status: 'ok', text: expect.stringContaining('CN=app') }]);
    expect(await at(25)).toMatchObject([{ status: 'warning' }]);
    expect(await at(31)).toMatchObject([{ status: 'failed', text: expect.stringContaining('expired') }]);
  });

  it('names each unit that is not well', async () => {
    const stdout = [
      unit('a.service', 'failed'),
      unit('b.service', 'active', 4),
      unit('c.service', 'activating'),
      unit('d.service'),
      'Id=e.service\nLoadState=not-found\nActiveState=inactive\n',
    ].join('\n');
    expect(
      (await find(guest({}, { systemctl: { exit: 0, stdout } }), 'units')).map(({ status, text }) => [status, text]),
    ).toEqual([
      ['failed', 'a.service is failed (exit-code)'],
      ['warning', 'b.service was restarted 4 times'],
      ['warning', 'c.service is still starting'],
      ['failed', 'e.service is not installed'],
    ]);
  });

  it('names the socket that does not answer', async () => {
    const call = async (socket: string) => {
      if (socket.endsWith('tappd.sock')) throw new DstackError('AGENT_UNREACHABLE', 'no answer');
    };
    expect(await find(guest({ call }), 'agent')).toMatchObject([
      { status: 'failed', text: expect.stringMatching(/^\/run\/tappd\.sock: no answer/) },
    ]);
  });

  it('shows ill containers, with their names made harmless', async () => {
    const [well] = await guest().containers();
    const ill = { ...well!, Names: ['/x\u001b[31m'], Status: 'Up 1 minute (unhealthy)' };
    const [finding] = await find(guest({ containers: async () => [well!, ill] }), 'containers');
    expect(finding).toMatchObject({ status: 'warning', text: 'x\\x1b[31m: Up 1 minute (unhealthy)' });
  });

  it.each([
    ['no handshake', { exit: 0, stdout: 'PEER=\t0\n' }, 'failed'],
    ['an old handshake', { exit: 0, stdout: `A=\t0\nB=\t${NOW / 1000 - 600}\n` }, 'warning'],
    ['no interface', { exit: 1, stdout: '', stderr: 'Unable to access interface: No such device' }, 'failed'],
  ])('sees %s with the gateway', async (_, wg, status) => {
    expect(await find(guest({}, { wg }), 'gateway')).toMatchObject([{ status }]);
  });

  it('goes on when a check cannot look, and shows the code and its hint', async () => {
    const tee = async () => {
      throw new DstackError('TEE_NOT_FOUND', 'no TEE here');
    };
    const findings = await examine(guest({ tee }));
    expect(findings[0]).toMatchObject({
      status: 'failed',
      text: 'no TEE here [TEE_NOT_FOUND]',
      advice: expect.any(String),
    });
    expect(findings).toHaveLength(12);
  });

  it('says why no gateway sends traffic here', async () => {
    const told = async (health: Awaited<ReturnType<GuestMachine['health']>>) =>
      (await examine(guest({ health: async () => health }))).find(({ check }) => check === 'app health');
    expect(await told(null)).toMatchObject({ status: 'skipped' });
    expect(await told({ healthy: true, unhealthy: [], error: '' })).toMatchObject({ status: 'ok' });
    expect(await told({ healthy: false, unhealthy: [{ name: 'web', status: 'starting' }], error: '' })).toMatchObject({
      status: 'warning',
      text: 'no gateway sends traffic here: web: starting',
    });
    expect(await told({ healthy: false, unhealthy: [], error: 'docker does not answer' })).toMatchObject({
      text: expect.stringContaining('docker does not answer'),
    });
  });
});

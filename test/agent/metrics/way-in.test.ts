/** Gateway, tunnel, certificates and KMS in /metrics: what is known is shown, what is not is left out, nobody is asked. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { certificateEnds } from '../../../src/agent/figures/certificates.ts';
import { GatewayFigures, type GatewaySources } from '../../../src/agent/figures/gateway-figures.ts';
import { KmsCalls } from '../../../src/agent/figures/kms-calls.ts';
import { format } from '../../../src/agent/metrics/family.ts';
import { metricsText } from '../../../src/agent/metrics/metrics.ts';
import { wayInFamilies } from '../../../src/agent/metrics/way-in-families.ts';
import { DstackError } from '../../../src/errors.ts';
import { afterAttempt, formatGatewayRecord } from '../../../src/net/gateway-record.ts';
import { makeScene, type Scene } from '../page/scene.ts';

const PEERS = new Map([
  [`${'a'.repeat(43)}=`, 1_800_000_000],
  [`${'b'.repeat(43)}=`, 0],
]);
const down = new DstackError('GATEWAY_UNREACHABLE', 'all gateways are down');

let dir = '';
let scene: Scene | undefined;
afterEach(async () => {
  if (dir !== '') rmSync(dir, { recursive: true, force: true });
  dir = '';
  await scene?.close();
  scene = undefined;
});

function figures(sources: Partial<GatewaySources> & { text?: string }, gatewayEnabled = true): GatewayFigures {
  dir = mkdtempSync(join(tmpdir(), 'dstack-way-in-'));
  const recordFile = join(dir, 'gateway.json');
  if (sources.text !== undefined) writeFileSync(recordFile, sources.text);
  return new GatewayFigures({ gatewayEnabled }, { recordFile, handshakes: async () => PEERS, ...sources });
}

async function lines(gateway: GatewayFigures, kms = new KmsCalls()): Promise<string[]> {
  const reading = await gateway.read();
  const { text } = await format(wayInFamilies({ kms }, reading, new Map()));
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

describe('the way in', () => {
  it('shows the last registration, the handshakes, and the call to the KMS for its certificates', async () => {
    const kms = { at: 1_800_000_100, outcome: 'KMS_TIMEOUT', succeededAt: undefined } as const;
    const registered = afterAttempt(undefined, 1_800_000_050, { certNotAfter: 1_800_864_000, kms });
    const text = formatGatewayRecord(afterAttempt(registered, 1_800_000_200, {}, down));
    expect(await lines(figures({ text }))).toEqual([
      'dstack_gateway_registered 0',
      'dstack_gateway_registration_timestamp_seconds 1800000050',
      'dstack_gateway_registration_attempt_timestamp_seconds 1800000200',
      'dstack_gateway_registration_failures 1',
      `dstack_wireguard_latest_handshake_timestamp_seconds{peer="${'a'.repeat(43)}="} 1800000000`,
      `dstack_wireguard_latest_handshake_timestamp_seconds{peer="${'b'.repeat(43)}="} 0`,
      'dstack_kms_last_call_success{caller="gateway"} 0',
      'dstack_kms_last_call_timestamp_seconds{caller="gateway"} 1800000100',
    ]);
  });
  it('says that nothing was registered when nobody has tried yet', async () => {
    expect(await lines(figures({ handshakes: async () => new Map() }))).toEqual(['dstack_gateway_registered 0']);
  });
  it('leaves out what cannot be read, and everything for an app without a gateway', async () => {
    const noTool = () => Promise.reject(new DstackError('COMMAND_NOT_FOUND', 'wg is not installed'));
    expect(await lines(figures({ text: '{"attempted_at":', handshakes: noTool }))).toEqual([]);
    rmSync(dir, { recursive: true, force: true });
    const handshakes = vi.fn(async () => PEERS);
    expect(await lines(figures({ handshakes }, false))).toEqual([]);
    expect(handshakes).not.toHaveBeenCalled();
  });
  it('starts one program for many visitors', async () => {
    const handshakes = vi.fn(async () => PEERS);
    const gateway = figures({ handshakes });
    await Promise.all(Array.from({ length: 20 }, () => gateway.read()));
    expect(handshakes).toHaveBeenCalledTimes(1);
  });
  it('remembers how the agent itself fared with the KMS', async () => {
    const kms = new KmsCalls();
    const shown = async () => (await lines(figures({}, false), kms)).map((line) => line.replace(/ \d{10}$/, ' T'));
    expect(await shown()).toEqual([]);
    kms.tell();
    const success = [
      'dstack_kms_last_call_success{caller="agent"} 1',
      'dstack_kms_last_call_timestamp_seconds{caller="agent"} T',
      'dstack_kms_last_success_timestamp_seconds{caller="agent"} T',
    ];
    expect(await shown()).toEqual(success);
    kms.tell(new DstackError('KMS_REFUSED', 'no'));
    expect(await shown()).toEqual([success[0]?.replace(/1$/, '0'), ...success.slice(1)]);
  });
});

describe('certificate ends', () => {
  it('are read from the keys and from what was issued, without issuing anything', async () => {
    scene = await makeScene();
    const { state } = scene;
    expect([...certificateEnds(state, undefined).keys()]).toEqual(['app_ca']);
    await state.demo.issue();
    const ends = certificateEnds(state, 1_800_000_000);
    expect([...ends.keys()]).toEqual(['app_ca', 'app_cert', 'gateway_client']);
    for (const end of ends.values()) expect(end).toBeGreaterThan(1_700_000_000);
    const { text } = await metricsText(state, scene.ready, scene.timelinePath);
    expect(text).toContain(
      `dstack_certificate_expiration_timestamp_seconds{certificate="app_ca"} ${ends.get('app_ca')}`,
    );
  });
  it('leave out what is not a certificate', async () => {
    scene = await makeScene();
    const keys = { ...scene.state.keys, caCert: 'not PEM' };
    expect([...certificateEnds({ keys, demo: { issued: 'neither' } }, undefined)]).toEqual([]);
  });
});

import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/codec/hex.ts';
import type { Attestation } from '../../src/tdx/attestation.ts';
import { appInfoJson, decodeAppInfo } from '../../src/tdx/identity.ts';
import vectors from '../vectors/measurement.json' with { type: 'json' };
import { runtimeEvent, sampleAttestation, sampleQuote } from './sample.ts';

const recorded = vectors.fixture_attestation;
const expected = recorded.decoded_app_info_from_v1_projection;

/** The registers and events of a recorded guest in a quote of our own. */
function fixture(): Attestation {
  const quote = sampleQuote({
    mrtd: fromHex(recorded.mrtd_hex),
    rtmrs: recorded.rtmr_hex.map((hex) => fromHex(hex)),
    mrConfigId: fromHex(recorded.mr_config_id_hex),
    mrOwner: fromHex(recorded.mr_owner_hex),
    mrOwnerConfig: fromHex(recorded.mr_owner_config_hex),
  });
  const runtimeEvents = recorded.runtime_events.map(({ event, payload_hex }) =>
    runtimeEvent(event, fromHex(payload_hex)),
  );
  const inner = JSON.stringify({ os_image_hash: expected.os_image_hash_hex });
  return {
    platform: { kind: 'tdx', quote, eventLog: [] },
    reportData: new Uint8Array(64),
    runtimeEvents,
    // the old style: the whole system configuration with the vm_config text inside
    config: JSON.stringify({ kms_urls: [], vm_config: inner }),
  };
}

describe('identity', () => {
  it('is that of a recorded guest', () => {
    const info = appInfoJson(decodeAppInfo(fixture()));
    expect(info).toMatchObject({
      app_id: expected.app_id_hex,
      compose_hash: expected.compose_hash_hex,
      instance_id: expected.instance_id_hex,
      device_id: expected.device_id_hex,
      mr_system: expected.mr_system_hex,
      mr_aggregated: expected.mr_aggregated_hex,
      os_image_hash: expected.os_image_hash_hex,
      init_script_hashes: [],
    });
    expect(Object.keys(info)).toEqual([
      'app_id',
      'compose_hash',
      'instance_id',
      'device_id',
      'mr_system',
      'mr_aggregated',
      'os_image_hash',
      'key_provider_info',
      'init_script_hashes',
    ]);
    expect(JSON.parse(Buffer.from(String(info['key_provider_info']), 'hex').toString()).name).toBe('kms');
  });

  it('at boot time knows no key provider and stops at boot-mr-done', () => {
    const info = appInfoJson(decodeAppInfo(fixture(), { boottime: true }));
    expect(info).toMatchObject({
      mr_system: expected.mr_system_boottime_hex,
      mr_aggregated: expected.mr_aggregated_boottime_hex,
      key_provider_info: '',
    });
  });

  it('without configuration registers leaves them out of mr_aggregated', () => {
    const bare = fixture();
    const changed = { ...bare, platform: { ...bare.platform, quote: sampleQuote() } } as Attestation;
    const zeros = {
      ...bare,
      platform: { ...bare.platform, quote: sampleQuote({ mrOwner: new Uint8Array(48) }) },
    } as Attestation;
    expect(decodeAppInfo(changed).mrAggregated).toEqual(decodeAppInfo(zeros).mrAggregated);
  });

  it('ignores what applications measure after system-ready', () => {
    const base = fixture();
    const forged = [...base.runtimeEvents, runtimeEvent('app-id', 'forged'), runtimeEvent('init-script-hash', 'x')];
    const info = decodeAppInfo({ ...base, runtimeEvents: forged });
    expect(info.appId).toEqual(decodeAppInfo(base).appId);
    expect(info.initScriptHashes).toEqual([]);
    expect(info.mrAggregated).not.toEqual(decodeAppInfo(base).mrAggregated);
    const late = [runtimeEvent('system-ready'), runtimeEvent('app-id', 'late')];
    expect(decodeAppInfo({ ...base, runtimeEvents: late }).appId).toEqual(new Uint8Array());
  });

  it('takes the first event of a name, and all init scripts', () => {
    const runtimeEvents = [
      runtimeEvent('app-id', 'one'),
      runtimeEvent('init-script-hash', 'a'),
      runtimeEvent('app-id', 'two'),
      runtimeEvent('init-script-hash', 'b'),
    ];
    const info = decodeAppInfo({ ...sampleAttestation(), runtimeEvents });
    expect(Buffer.from(info.appId).toString()).toBe('one');
    expect(info.initScriptHashes.map((hash) => Buffer.from(hash).toString())).toEqual(['a', 'b']);
  });

  it.each([
    ['', ''],
    ['{}', ''],
    ['{"os_image_hash":"00ff"}', '00ff'],
    ['{"vm_config":"{\\"os_image_hash\\":\\"00ff\\"}"}', '00ff'],
    ['{"vm_config":"","os_image_hash":"aa"}', ''],
    ['{"vm_config":{"os_image_hash":"bb"},"os_image_hash":"aa"}', 'aa'],
  ])('finds the image hash in %s', (config, hash) => {
    const info = decodeAppInfo({ ...sampleAttestation(), config });
    expect(info.osImageHash).toEqual(fromHex(hash));
  });

  it('prefers an external vm_config, and can do without unwrapping', () => {
    const subject = fixture();
    expect(decodeAppInfo(subject, { vmConfig: '{"os_image_hash":"07"}' }).osImageHash).toEqual(Uint8Array.of(7));
    expect(decodeAppInfo(subject, { unwrap: false }).osImageHash).toEqual(new Uint8Array());
  });

  it.each(['[]', 'null', '{', '{"os_image_hash":7}', '{"os_image_hash":"zz"}'])(
    'refuses the vm_config %s',
    (config) => {
      expect(() => decodeAppInfo({ ...sampleAttestation(), config })).toThrowError(/vm_config/);
    },
  );

  it('serves TDX guests only', () => {
    const platform = { kind: 'nitro-enclave' as const, nsmQuote: new Uint8Array() };
    expect(() => decodeAppInfo({ ...sampleAttestation(), platform })).toThrowError(/nitro-enclave/);
  });
});

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/codec/hex.ts';
import { appInfoJson, decodeAppInfo } from '../../src/tdx/app-identity.ts';
import type { Attestation } from '../../src/tdx/attestation.ts';
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

  it('knows nothing of AWS platforms', () => {
    const platform = { kind: 'nitro-enclave' as const, nsmQuote: new Uint8Array() };
    expect(() => decodeAppInfo({ ...sampleAttestation(), platform })).toThrowError(/nitro-enclave/);
  });
});

describe('other platforms', () => {
  const sha256 = (...parts: Uint8Array[]) => new Uint8Array(createHash('sha256').update(Buffer.concat(parts)).digest());
  const events = [
    runtimeEvent('app-id', 'app'),
    runtimeEvent('boot-mr-done'),
    runtimeEvent('key-provider', '{"name":"kms","id":""}'),
    runtimeEvent('system-ready'),
  ];
  const pcrs = [0, 2].map((index) => ({ index, algorithm: 'sha256', value: new Uint8Array(32).fill(index + 1) }));
  const gcp = (pcrValues: typeof pcrs): Attestation => ({
    ...sampleAttestation(),
    runtimeEvents: events,
    platform: {
      kind: 'gcp-tdx',
      quote: new Uint8Array(),
      eventLog: [],
      tpmQuote: {
        message: new Uint8Array(),
        signature: new Uint8Array(),
        pcrValues,
        akCert: new Uint8Array(),
        platform: 'gcp',
        eventLog: [],
      },
    },
  });

  it('on Google Cloud the registers are those of the TPM', () => {
    const imageHash = Uint8Array.of(0xab, 0xcd);
    const digest = (event: (typeof events)[number]) =>
      sha256(Buffer.from([1, 0, 0, 8]), Buffer.from(`:${event.event}:`), event.payload);
    const replayed = (list: typeof events) =>
      list.reduce((value, event) => sha256(value, digest(event)), new Uint8Array(32));
    const values = pcrs.map(({ value }) => value) as [Uint8Array, Uint8Array];
    const info = decodeAppInfo(gcp(pcrs));
    expect(info.mrSystem).toEqual(sha256(imageHash, sha256(Buffer.from('{"name":"kms","id":""}'))));
    expect(info.mrAggregated).toEqual(sha256(...values, replayed(events)));
    const early = decodeAppInfo(gcp(pcrs), { boottime: true });
    expect(early.mrSystem).toEqual(sha256(imageHash, new Uint8Array(32)));
    expect(early.mrAggregated).toEqual(sha256(...values, replayed(events.slice(0, 2))));
    expect(Buffer.from(info.appId).toString()).toBe('app');
  });

  it.each([
    ['a register is missing', pcrs.slice(1)],
    ['a register is there twice', [...pcrs, ...pcrs]],
    ['a register of another bank', pcrs.map((entry) => ({ ...entry, algorithm: 'sha1' }))],
    ['a short register', pcrs.map((entry) => ({ ...entry, value: new Uint8Array(20) }))],
  ])('refuses a TPM quote in which %s', (_, values) => {
    expect(() => decodeAppInfo(gcp(values))).toThrowError(expect.objectContaining({ code: 'ATTESTATION_INVALID' }));
  });

  const report = Uint8Array.from({ length: 1184 }, (_, index) => index % 251);
  const snp = (mrConfig: string, bytes = report): Attestation => ({
    ...sampleAttestation(),
    runtimeEvents: [],
    platform: { kind: 'sev-snp', report: bytes, certChain: [], mrConfig },
  });

  it('on SEV-SNP everything stands in the mr_config document', () => {
    const document = {
      app_id: '11',
      compose_hash: '22',
      key_provider: 'local',
      key_provider_id: '33',
      init_script_hashes: ['44'],
    };
    expect(appInfoJson(decodeAppInfo(snp(JSON.stringify(document))))).toMatchObject({
      app_id: '11',
      compose_hash: '22',
      instance_id: '',
      device_id: Buffer.from(sha256(report.slice(0x1a0, 0x1e0))).toString('hex'),
      mr_system: Buffer.from(sha256(report.slice(0x90, 0xc0))).toString('hex'),
      mr_aggregated: Buffer.from(sha256(report.slice(0x90, 0xc0), report.slice(0xc0, 0xe0))).toString('hex'),
      os_image_hash: 'abcd',
      key_provider_info: Buffer.from('{"name":"local-sgx","id":"33"}').toString('hex'),
      init_script_hashes: ['44'],
    });
  });

  it.each(['', '[]', '{}', '{"key_provider":"kms","app_id":7}', '{"key_provider":"kms","init_script_hashes":[1]}'])(
    'refuses the document %j',
    (document) => {
      expect(() => decodeAppInfo(snp(document))).toThrowError(expect.objectContaining({ code: 'ATTESTATION_INVALID' }));
    },
  );

  it('refuses a short report', () => {
    expect(() => decodeAppInfo(snp('{"key_provider":"none"}', report.slice(1)))).toThrowError(/1183 bytes/);
  });
});

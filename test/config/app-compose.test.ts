import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/codec/jcs.ts';
import { type AppCompose, checkFeatureGates, parseAppCompose } from '../../src/config/app-compose.ts';
import { gpuPolicyHash } from '../../src/config/gpu-policy.ts';
import { DstackError } from '../../src/errors.ts';
import { failure } from '../failure.ts';
import vectors from '../vectors/config.json' with { type: 'json' };

const MINIMAL = { manifest_version: 2, name: 'app', runner: 'docker-compose' };
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (extra: object = {}): AppCompose => parseAppCompose(bytes(JSON.stringify({ ...MINIMAL, ...extra })));
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex');

describe('app-compose.json', () => {
  it('has the documented defaults', () => {
    expect(parse()).toMatchObject({
      manifestVersion: 2,
      name: 'app',
      runner: 'docker-compose',
      hasPreLaunch: false,
      initScripts: [],
      publicLogs: false,
      publicSysinfo: false,
      publicTcbinfo: true,
      keyProvider: 'none',
      keyProviderId: new Uint8Array(),
      gatewayEnabled: false,
      allowedEnvs: [],
      noInstanceId: false,
      secureTime: true,
      swapSize: 0,
      eventLogVersion: 1,
      portPolicy: { ports: [], restrictMode: false },
      verityVolumes: [],
    });
    for (const absent of ['snapshotter', 'dockerComposeFile', 'preLaunchScript', 'storageFs', 'requirements']) {
      expect(parse()).not.toHaveProperty(absent);
    }
  });

  it('reads every field', () => {
    const compose = parse({
      manifest_version: ' 3 ',
      runner: 'nerdctl-compose',
      snapshotter: 'stargz',
      docker_compose_file: 'services: {}',
      pre_launch_script: 'echo hi',
      bash_script: 'true',
      init_script: ['a', 'b'],
      public_logs: true,
      public_sysinfo: true,
      public_tcbinfo: false,
      key_provider: 'kms',
      key_provider_id: 'AbCd',
      gateway_enabled: true,
      allowed_envs: ['A', 'B'],
      no_instance_id: true,
      secure_time: false,
      storage_fs: 'EXT4',
      swap_size: '2G',
      event_log_version: 2,
      port_policy: { ports: [{ port: 80 }, { port: 443, pp: true }], restrict_mode: true },
      requirements: { os_version: '>=0.5', gpu_policy: { attest_gpu: false } },
      verity_volumes: [{ source: 'v.img', verity_root: 'ab'.repeat(32), target: '/data', more: 1 }],
      unknown_field: { anything: [1] },
    });
    expect(compose).toMatchObject({
      manifestVersion: 3,
      snapshotter: 'stargz',
      dockerComposeFile: 'services: {}',
      preLaunchScript: 'echo hi',
      hasPreLaunch: true,
      bashScript: 'true',
      initScripts: ['a', 'b'],
      publicTcbinfo: false,
      keyProvider: 'kms',
      keyProviderId: Uint8Array.from([0xab, 0xcd]),
      gatewayEnabled: true,
      allowedEnvs: ['A', 'B'],
      noInstanceId: true,
      secureTime: false,
      storageFs: 'EXT4',
      swapSize: 2 * 1024 ** 3,
      eventLogVersion: 2,
      portPolicy: {
        ports: [
          { port: 80, pp: false },
          { port: 443, pp: true },
        ],
        restrictMode: true,
      },
      requirements: { osVersion: '>=0.5', gpuPolicy: { attestGpu: false, allowDebug: false } },
      verityVolumes: [{ source: 'v.img', verityRoot: new Uint8Array(32).fill(0xab), target: '/data' }],
    });
  });

  it('is measured byte for byte', () => {
    for (const vector of vectors.compose_hash) {
      if (vector.raw_utf8 === undefined) {
        const text = canonicalJson(vector.app_compose); // what deployment tools upload
        expect(text).toBe(vector.canonical);
        expect(createHash('sha256').update(text).digest('hex')).toBe(vector.compose_hash_hex);
        continue;
      }
      const compose = parseAppCompose(bytes(vector.raw_utf8));
      expect(hex(compose.composeHash)).toBe(vector.compose_hash_hex);
      expect(hex(compose.composeHash.slice(0, 20))).toBe(vector.default_app_id_hex);
    }
    const spaced = `${JSON.stringify(MINIMAL)}\n`;
    expect(hex(parseAppCompose(bytes(spaced)).composeHash)).not.toBe(hex(parse().composeHash));
  });

  it.each(vectors.gpu_policy_hash)('hashes the GPU policy as written: $app_compose', ({ app_compose, hash_hex }) => {
    expect(hex(gpuPolicyHash(JSON.parse(app_compose)))).toBe(hash_hex);
  });

  it('hashes a policy written as null as null', () => {
    const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
    expect(hex(parse({ requirements: { gpu_policy: null } }).gpuPolicyHash)).toBe(sha256('null'));
    expect(hex(parse({ requirements: null }).gpuPolicyHash)).toBe(sha256('{}'));
  });

  it.each([
    [{}, 'none'],
    [{ kms_enabled: true }, 'kms'],
    [{ local_key_provider_enabled: true }, 'local'],
    [{ kms_enabled: true, local_key_provider_enabled: true }, 'kms'],
    [{ kms_enabled: true, key_provider: 'tpm' }, 'tpm'],
    [{ kms_enabled: true, key_provider: null }, 'kms'],
    [{ kms_enabled: true, key_provider: 'none' }, 'none'],
  ])('effective key provider of %j is %s', (extra, kind) => {
    expect(parse(extra).keyProvider).toBe(kind);
  });

  it.each([
    [{ gateway_enabled: true }, true],
    [{ tproxy_enabled: true }, true],
    [{ features: ['x', 'tproxy-net'] }, true],
    [{ features: ['kms'] }, false],
  ])('gateway of %j is %s', (extra, enabled) => {
    expect(parse(extra).gatewayEnabled).toBe(enabled);
  });

  it.each([
    [1, 1],
    [2, 2],
    ['1', 1],
    ['3', 3],
    [' 42\n', 42],
    ['4294967295', 0xffff_ffff],
  ])('manifest_version %j is %d', (written, version) => {
    expect(parse({ manifest_version: written }).manifestVersion).toBe(version);
  });

  it('knows a pre-launch script by its key alone', () => {
    expect(parse({ pre_launch_script: '' }).hasPreLaunch).toBe(true);
    expect(parse({ pre_launch_script: null }).hasPreLaunch).toBe(true);
  });

  it('takes an init script as text or list', () => {
    expect(parse({ init_script: 'x' }).initScripts).toEqual(['x']);
    expect(parse({ init_script: null }).initScripts).toEqual([]);
    expect(parse({ init_script: [] }).initScripts).toEqual([]);
    expect(parse({ init_script: Array(5).fill('x') }).initScripts).toHaveLength(5);
  });
});

// [what is written, field the error names, piece of the message]
const BAD: [object, string, string][] = [
  [{ manifest_version: undefined }, 'manifest_version', 'missing'],
  [{ manifest_version: 0 }, 'manifest_version', '1 or 2'],
  [{ manifest_version: 3 }, 'manifest_version', '1 or 2'],
  [{ manifest_version: -1 }, 'manifest_version', '1 or 2'],
  [{ manifest_version: 1.5 }, 'manifest_version', '1 or 2'],
  [{ manifest_version: null }, 'manifest_version', '1 or 2'],
  [{ manifest_version: '03' }, 'manifest_version', 'decimal'],
  [{ manifest_version: '+3' }, 'manifest_version', 'decimal'],
  [{ manifest_version: '3.0' }, 'manifest_version', 'decimal'],
  [{ manifest_version: '' }, 'manifest_version', 'decimal'],
  [{ manifest_version: '0' }, 'manifest_version', 'decimal'],
  [{ manifest_version: '4294967296' }, 'manifest_version', 'decimal'],
  [{ name: undefined }, 'name', 'missing'],
  [{ name: 7 }, 'name', 'string'],
  [{ runner: undefined }, 'runner', 'missing'],
  [{ runner: ['bash'] }, 'runner', 'string'],
  [{ snapshotter: 'zfs' }, 'snapshotter', 'overlayfs, stargz'],
  [{ docker_compose_file: {} }, 'docker_compose_file', 'string'],
  [{ pre_launch_script: 1 }, 'pre_launch_script', 'string'],
  [{ init_script: 5 }, 'init_script', 'string or an array'],
  [{ init_script: ['a', 'b', 3] }, 'init_script[2]', 'string'],
  [{ public_logs: 'yes' }, 'public_logs', 'true or false'],
  [{ public_tcbinfo: null }, 'public_tcbinfo', 'true or false'],
  [{ kms_enabled: 1 }, 'kms_enabled', 'true or false'],
  [{ key_provider: 'aws' }, 'key_provider', 'none, kms, local, tpm'],
  [{ key_provider_id: '0xab' }, 'key_provider_id', 'hex'],
  [{ key_provider_id: 'abc' }, 'key_provider_id', 'hex'],
  [{ allowed_envs: 'A' }, 'allowed_envs', 'array'],
  [{ allowed_envs: ['A', null] }, 'allowed_envs[1]', 'string'],
  [{ features: [1] }, 'features[0]', 'string'],
  [{ swap_size: '1.5G' }, 'swap_size', 'size'],
  [{ swap_size: -1 }, 'swap_size', 'whole number'],
  [{ swap_size: '9999999T' }, 'swap_size', 'larger'],
  [{ swap_size: 1e300 }, 'swap_size', 'whole number'],
  [{ event_log_version: 3 }, 'event_log_version', '1 or 2'],
  [{ event_log_version: '1' }, 'event_log_version', '1 or 2'],
  [{ event_log_version: null }, 'event_log_version', '1 or 2'],
  [{ port_policy: [] }, 'port_policy', 'object'],
  [{ port_policy: { ports: [{}] } }, 'port_policy.ports[0].port', 'missing'],
  [{ port_policy: { ports: [{ port: 65_536 }] } }, 'port_policy.ports[0].port', '0 to 65535'],
  [{ port_policy: { ports: [{ port: 1, pp: 1 }] } }, 'port_policy.ports[0].pp', 'true or false'],
  [{ port_policy: { restrict_mode: 'x' } }, 'port_policy.restrict_mode', 'true or false'],
  [{ requirements: [] }, 'requirements', 'object'],
  [{ requirements: { os: '1' } }, 'requirements.os', 'unknown'],
  [{ requirements: { platforms: 'dstack-tdx' } }, 'requirements.platforms', 'array'],
  [{ requirements: { launch_token_hash: 'ab' } }, 'requirements.launch_token_hash', '32 bytes'],
  [{ requirements: { gpu_policy: { x: 1 } } }, 'requirements.gpu_policy.x', 'unknown'],
  [{ requirements: { gpu_policy: { rego: 1 } } }, 'requirements.gpu_policy.rego', 'string'],
  [{ verity_volumes: {} }, 'verity_volumes', 'array'],
  [{ verity_volumes: [1] }, 'verity_volumes[0]', 'object'],
  [{ verity_volumes: [{ source: 'a', verity_root: 'ab', target: '/x' }] }, 'verity_volumes[0].verity_root', '32 bytes'],
  [
    { verity_volumes: [{ source: 'a', verity_root: '00'.repeat(32), target: 'x' }] },
    'verity_volumes[0].target',
    'absolute',
  ],
  [
    { verity_volumes: [1, 2].map(() => ({ source: 'a', verity_root: '00'.repeat(32), target: '/x' })) },
    'verity_volumes[1].target',
    'duplicate verity volume target /x',
  ],
];

describe('bad app-compose.json', () => {
  it.each(BAD)('%j', (extra, field, message) => {
    const error = failure(() => parse(extra));
    expect(error.code).toBe('DOCUMENT_INVALID');
    expect(error.path).toBe('app-compose.json');
    expect(error.field).toBe(field);
    expect(error.message).toContain(message);
    expect(error.message).toContain(field);
  });

  it('more than five init scripts', () => {
    const error = failure(() => parse({ init_script: Array(6).fill('x') }));
    expect(error).toMatchObject({ code: 'SCRIPT_LIMIT', field: 'init_script', value: '6' });
    expect(error.message).toContain('supports at most 5 scripts');
  });

  it.each([
    ['not JSON', 'name: app', 'JSON_INVALID'],
    ['truncated', '{"manifest_version": 2', 'JSON_INVALID'],
    ['empty', '', 'JSON_INVALID'],
    ['a duplicate key', '{"manifest_version":2,"name":"a","name":"b","runner":"bash"}', 'JSON_INVALID'],
    ['nested without end', '['.repeat(100_000), 'JSON_INVALID'],
    ['an array', '[]', 'DOCUMENT_INVALID'],
    ['a number that is no integer literal', '{"manifest_version":2.0,"name":"a","runner":"b"}', 'DOCUMENT_INVALID'],
  ])('%s', (_, text, code) => {
    expect(failure(() => parseAppCompose(bytes(text), 'my.json'))).toMatchObject({ code, path: 'my.json' });
  });

  it('names a wrong value, but never floods the log with it', () => {
    const error = failure(() => parse({ swap_size: 'x'.repeat(10_000) }));
    expect(error.value!.length).toBeLessThan(200);
    expect(error.message.length).toBeLessThan(200);
  });

  it('throws nothing but a DstackError, whatever the fields hold', () => {
    const names = Object.keys(BAD.reduce((all, [extra]) => Object.assign(all, extra), {}));
    const document = fc.dictionary(fc.constantFrom(...names), fc.jsonValue({ maxDepth: 3 }));
    fc.assert(
      fc.property(document, (extra) => {
        try {
          checkFeatureGates(parse(extra));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
          expect((thrown as DstackError).code).not.toBe('INTERNAL');
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('feature gates', () => {
  const gate = (extra: object) => () => checkFeatureGates(parse(extra));

  it.each([
    [{}],
    [{ manifest_version: '3', requirements: {} }],
    [{ manifest_version: '3', runner: 'nerdctl-compose', snapshotter: 'overlayfs' }],
    [{ manifest_version: '3', init_script: ['a', 'b'] }],
    [{ init_script: ['a'] }],
  ])('let %j pass', (extra) => {
    expect(gate(extra)).not.toThrow();
  });

  it.each([
    [{ manifest_version: '4' }, 'unsupported manifest_version: 4, max supported: 3'],
    [{ requirements: {} }, 'requirements needs manifest_version 3'],
    [{ runner: 'nerdctl-compose' }, 'runner nerdctl-compose needs'],
    [{ init_script: ['a', 'b'] }, 'more than one init script needs'],
  ])('stop %j', (extra, message) => {
    const error = failure(gate(extra));
    expect(error.code).toBe('MANIFEST_UNSUPPORTED');
    expect(error.message).toContain(message);
    expect(error.hint).toContain('older guests fail closed');
  });

  it('allow a snapshotter only for its runner', () => {
    expect(failure(gate({ manifest_version: '3', snapshotter: 'stargz' }))).toMatchObject({
      code: 'DOCUMENT_INVALID',
      field: 'snapshotter',
    });
  });
});

import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import type { KeyProviderKind } from '../../src/config/app-compose.ts';
import {
  checkMrConfigId,
  type LocalConfig,
  mrConfigIdV1,
  mrConfigIdV2,
  mrConfigIdV3,
} from '../../src/tdx/mr-config.ts';
import vectors from '../vectors/measurement.json' with { type: 'json' };

const LOCAL: LocalConfig = {
  composeHash: new Uint8Array(32).fill(0x22),
  appId: new Uint8Array(20).fill(0x11),
  instanceId: new Uint8Array(20).fill(0x44),
  gpuPolicyHash: new Uint8Array(32).fill(0x55),
  initScriptHashes: [],
  keyProvider: 'kms',
  keyProviderId: new Uint8Array(32).fill(0x33),
};

const mismatch = expect.objectContaining({ code: 'MR_CONFIG_MISMATCH' });

/** Checks a version 3 document that the register is really bound to. */
const checkDocument = (document: object, local: Partial<LocalConfig> = {}): void => {
  const text = JSON.stringify(document);
  checkMrConfigId(mrConfigIdV3(text), { ...LOCAL, document: text, ...local });
};

describe('vectors', () => {
  it.each(vectors.mr_config_id)('$name', (vector) => {
    const local: LocalConfig = {
      ...LOCAL,
      ...(vector.key_provider === undefined ? {} : { keyProvider: vector.key_provider as KeyProviderKind }),
      ...(vector.document?.includes('"none"') ? { keyProvider: 'none' as const, keyProviderId: new Uint8Array() } : {}),
      document: vector.document,
    };
    const id = [mrConfigIdV1(local.composeHash), mrConfigIdV2(local), mrConfigIdV3(vector.document ?? '')][
      vector.version - 1
    ];
    expect(toHex(id ?? new Uint8Array())).toBe(vector.mr_config_id_hex);
    expect(() => checkMrConfigId(fromHex(vector.mr_config_id_hex), local)).not.toThrow();
  });
});

describe('check', () => {
  it('all zero binds nothing', () => {
    expect(() => checkMrConfigId(new Uint8Array(48), LOCAL)).not.toThrow();
  });

  it.each([
    ['another compose hash', mrConfigIdV1(new Uint8Array(32))],
    ['a byte behind the hash', Uint8Array.from([...mrConfigIdV1(LOCAL.composeHash).subarray(0, 47), 1])],
    ['another app', mrConfigIdV2({ ...LOCAL, appId: new Uint8Array(20) })],
    ['another provider kind', mrConfigIdV2({ ...LOCAL, keyProvider: 'local' })],
    ['another provider id', mrConfigIdV2({ ...LOCAL, keyProviderId: new Uint8Array() })],
    ['version 4', Uint8Array.from([4, ...new Uint8Array(47)])],
    ['version 0 with content', Uint8Array.from([0, 1, ...new Uint8Array(46)])],
    ['47 bytes', new Uint8Array(47)],
  ])('%s is refused', (_, id) => {
    expect(() => checkMrConfigId(id, LOCAL)).toThrowError(mismatch);
  });

  it('version 3 needs its document, unchanged', () => {
    const text = '{"compose_hash":"22"}';
    expect(() => checkMrConfigId(mrConfigIdV3(text), LOCAL)).toThrowError(/document is missing/);
    expect(() => checkMrConfigId(mrConfigIdV3(text), { ...LOCAL, document: `${text} ` })).toThrowError(mismatch);
  });
});

describe('document', () => {
  const base = { compose_hash: '22'.repeat(32), key_provider: 'kms' };

  it('refuses a field that stands twice: two readers could see two documents', () => {
    const text = `{"compose_hash":"${'22'.repeat(32)}","key_provider":"none","key_provider":"kms"}`;
    expect(() => checkMrConfigId(mrConfigIdV3(text), { ...LOCAL, document: text })).toThrowError(mismatch);
  });

  it('compares only the fields it has', () => {
    expect(() => checkDocument(base)).not.toThrow();
    expect(() => checkDocument({ ...base, app_id: '11'.repeat(20), instance_id: '44'.repeat(20) })).not.toThrow();
  });

  it.each([
    ['app_id', '12'.repeat(20)],
    ['compose_hash', '23'.repeat(32)],
    ['gpu_policy_hash', '56'.repeat(32)],
    ['key_provider_id', ''],
    ['instance_id', ''],
    ['key_provider', 'tpm'],
    ['key_provider', 'sgx'],
    ['version', 2],
    ['version', '3'],
    ['app_id', 7],
    ['app_id', 'zz'],
    ['surprise', true],
    ['init_script_hashes', ['66'.repeat(32)]],
    ['init_script_hashes', 'none'],
    ['init_script_hashes', Array.from({ length: 6 }, () => '66'.repeat(32))],
  ])('%s = %j is refused', (field, value) => {
    expect(() => checkDocument({ ...base, [field]: value })).toThrowError(mismatch);
  });

  it.each(['compose_hash', 'key_provider'])('must have %s', (field) => {
    expect(() => checkDocument({ ...base, [field]: undefined })).toThrowError(mismatch);
  });

  it('pins the init scripts in order; an empty list demands none', () => {
    const hashes = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    const wanted = hashes.map(toHex);
    expect(() => checkDocument({ ...base, init_script_hashes: wanted }, { initScriptHashes: hashes })).not.toThrow();
    expect(() => checkDocument(base, { initScriptHashes: hashes })).not.toThrow();
    for (const list of [[], wanted.slice(1), [...wanted].reverse()]) {
      expect(() => checkDocument({ ...base, init_script_hashes: list }, { initScriptHashes: hashes })).toThrowError(
        mismatch,
      );
    }
    expect(() => checkDocument({ ...base, init_script_hashes: [] })).not.toThrow();
  });
});

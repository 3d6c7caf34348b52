/** The expectation file: what its reader and its schema accept is the same, and what stands beside it only adds. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { mockCollateral } from '../../simulator/mock-collateral.ts';
import { pemChain } from '../../simulator/pki.ts';
import { toHex } from '../../src/codec/hex.ts';
import { toBase64 } from '../../src/codec/text.ts';
import { systemJson } from '../../src/os-image/os-image.ts';
import { encodeVersioned } from '../../src/tdx/attestation.ts';
import { checkDemands, joinExpectations } from '../../src/verify/demands.ts';
import { parseExpectationFile } from '../../src/verify/expectation-file.ts';
import { parseExpectations } from '../../src/verify/expectations.ts';
import { trustAnchor } from '../../src/verify/inputs.ts';
import { allowedStatuses } from '../../src/verify/tcb-policy.ts';
import { verifyEvidence } from '../../src/verify/verify-evidence.ts';
import { attestationOf, bootEvents, bytesOf, COLLATERAL, NOW, named, PKI, REPORT_DATA, ROOT } from './guest.ts';
import {
  answerOf,
  checksumsOf,
  FILES,
  folderOf,
  fromDocument,
  fromImage,
  measurementOf,
  vmConfigOf,
} from './system-fixture.ts';

const SCHEMA = JSON.parse(readFileSync('docs/schemas/expectations.v1.json', 'utf8'));
const valid = new Ajv2020({ strict: false }).compile(SCHEMA);
const read = (document: unknown) => parseExpectationFile(bytesOf(document), 'expect.json');

const hash = (bytes: number): string => 'ab'.repeat(bytes);
const CHECKSUMS = Buffer.from(checksumsOf(FILES)).toString();
const DOCUMENT = toBase64(measurementOf(FILES));
const ROOT_PEM = pemChain(PKI.root);
const FULL = {
  $schema: 'expectations.v1.json',
  version: 1,
  app: { app_id: hash(20), compose_hash: hash(32), events: [{ event: 'app-id', payload: null }] },
  image: {
    os_image_hash: toHex(folderOf(FILES).osImageHash as Uint8Array),
    measurement: { document: DOCUMENT, checksums: CHECKSUMS },
    registers: { mrtd: hash(48), mr_system: hash(32) },
    predicted: systemJson(fromImage(FILES), undefined),
    vm_config: { memory_size: 2147483648 },
  },
  machine: { device_id: hash(32) },
  root: { pem: ROOT_PEM },
  tcb: { allowed_statuses: ['SWHardeningNeeded'], refused_advisories: ['INTEL-SA-00828'] },
  report_data: 'required',
  events: { 'my-app': '', other: '00ff' },
  key_provider: { name: 'kms', id: '00' },
  storage: 'any',
};

describe('reader and schema', () => {
  it.each<[string, unknown]>([
    ['everything', FULL],
    ['the version alone', { version: 1 }],
    ['any app', { version: 1, app: 'any' }],
    ['a root by its hash', { version: 1, root: { sha256: hash(32) } }],
    ['a document in hex', { version: 1, image: { measurement: { document: toHex(measurementOf(FILES)) } } }],
    ['report data of its own', { version: 1, report_data: 'AA00' }],
    ['a provider without id', { version: 1, key_provider: { name: 'local-sgx' } }],
    ['a policy that says nothing', { version: 1, tcb: {} }],
  ])('accept %s', (_, document) => {
    expect([valid(document), valid.errors]).toEqual([true, null]);
    expect(() => read(document)).not.toThrow();
  });

  const bad: [string, unknown, field: string][] = [
    ['no version', {}, 'version'],
    ['another version', { version: 2 }, 'version'],
    ['a version as text', { version: '1' }, 'version'],
    ['an unknown member', { version: 1, aap: {} }, 'aap'],
    ['an app of nothing', { version: 1, app: {} }, 'app'],
    ['another word for an app', { version: 1, app: 'all' }, 'app'],
    ['an unknown member of the app', { version: 1, app: { appid: hash(20) } }, 'app.appid'],
    ['null, which would demand nothing', { version: 1, app: { app_id: null } }, 'app.app_id'],
    ['a null app', { version: 1, app: null }, 'app'],
    ['a short app id', { version: 1, app: { app_id: hash(19) } }, 'app.app_id'],
    ['an empty hash', { version: 1, app: { compose_hash: '' } }, 'app.compose_hash'],
    ['no events', { version: 1, app: { events: [] } }, 'app.events'],
    ['an event without payload', { version: 1, app: { events: [{ event: 'x' }] } }, 'app.events[0].payload'],
    [
      'an event with more',
      { version: 1, app: { events: [{ event: 'x', payload: '', digest: '' }] } },
      'app.events[0].digest',
    ],
    ['an image of nothing', { version: 1, image: {} }, 'image'],
    ['registers of nothing', { version: 1, image: { registers: {} } }, 'image.registers'],
    ['RTMR3 as one of the image', { version: 1, image: { registers: { rtmr3: hash(48) } } }, 'image.registers.rtmr3'],
    ['a measurement of nothing', { version: 1, image: { measurement: {} } }, 'image.measurement.document'],
    ['a prediction with more', { version: 1, image: { predicted: { rtmr3: hash(48) } } }, 'image.predicted.rtmr3'],
    ['no root', { version: 1, root: {} }, 'root'],
    ['two roots', { version: 1, root: { pem: ROOT_PEM, sha256: hash(32) } }, 'root'],
    ['Revoked as allowed', { version: 1, tcb: { allowed_statuses: ['Revoked'] } }, 'tcb.allowed_statuses'],
    ['an advisory of no form', { version: 1, tcb: { refused_advisories: ['828'] } }, 'tcb.refused_advisories[0]'],
    ['long report data', { version: 1, report_data: '00'.repeat(65) }, 'report_data'],
    ['an event pin that is not hex', { version: 1, events: { x: 'zz' } }, 'events.x'],
    ['an event pin of null', { version: 1, events: { x: null } }, 'events.x'],
    ['another provider', { version: 1, key_provider: { name: 'vault' } }, 'key_provider.name'],
    ['a provider without a name', { version: 1, key_provider: { id: '00' } }, 'key_provider.name'],
    ['storage of another kind', { version: 1, storage: 'clear' }, 'storage'],
  ];
  it.each(bad)('refuse %s, naming the field', (_, document, field) => {
    expect(valid(document)).toBe(false);
    expect(() => read(document)).toThrow(
      expect.objectContaining({ code: 'DOCUMENT_INVALID', field, path: 'expect.json' }),
    );
  });

  it('the reader alone sees what does not belong together', () => {
    const other = { version: 1, image: { ...FULL.image, os_image_hash: hash(32) } };
    expect(() => read(other)).toThrow(expect.objectContaining({ field: 'image.os_image_hash' }));
    const unbound = { version: 1, image: { measurement: { document: DOCUMENT, checksums: `${hash(32)}  x\n` } } };
    expect(() => read(unbound)).toThrow(expect.objectContaining({ field: 'image.measurement.document' }));
    const pem = { version: 1, root: { pem: 'x' } };
    expect(() => read(pem)).toThrow(expect.objectContaining({ code: 'DOCUMENT_INVALID', field: 'root.pem' }));
    expect(() => parseExpectationFile(Buffer.from('{"version":1,"version":1}'), 'x')).toThrow(
      expect.objectContaining({ code: 'JSON_INVALID' }),
    );
  });
});

describe('what stands beside the file', () => {
  const file = read({
    version: 1,
    app: { app_id: hash(20) },
    events: { mine: '01' },
    key_provider: { name: 'kms' },
    tcb: { allowed_statuses: ['SWHardeningNeeded'] },
  });
  const join = (...texts: string[]) => joinExpectations(file.expect, parseExpectations(texts));
  const nothing = { anyApp: false, allowUnencrypted: false, allowed: allowedStatuses([]) };

  it('adds', () => {
    const { values, events, keyProvider } = join(
      'rtmr0=00',
      `app-id=${hash(20)}`,
      'event other=02',
      'key-provider=kms:aa',
    );
    expect([...values.keys()]).toEqual(['app-id', 'rtmr0']);
    expect([[...events.keys()], keyProvider]).toEqual([['mine', 'other'], 'kms:aa']);
    expect(() =>
      checkDemands(file, file.expect, { ...nothing, allowed: allowedStatuses(['SWHardeningNeeded']) }),
    ).not.toThrow();
  });

  it('adds what a prediction leaves open, and more events', () => {
    const of = (...predicted: [string, string | null][]) => ({
      ...parseExpectations([]),
      predicted: predicted.map(([event, payload]) => ({ event, payload })),
    });
    const both = joinExpectations(of(['a', '01'], ['b', null]), of(['a', null], ['b', '02'], ['c', null]));
    expect(both.predicted).toEqual(of(['a', '01'], ['b', '02'], ['c', null]).predicted);
    for (const other of [of(['a', '02']), of(['b', '01']), of(['a', '01'], ['a', null])]) {
      const work = () => joinExpectations(of(['a', '01'], ['b', null]), other);
      expect(work).toThrow(expect.objectContaining({ code: 'INPUT_INVALID', field: '--expect-measure' }));
    }
  });

  it.each([
    ['another value', () => join(`app-id=${hash(19)}00`), '--expect app-id'],
    ['another event', () => join('event mine=02'), '--expect event mine'],
    ['another provider', () => join('key-provider=none'), '--expect key-provider'],
    ['any app', () => checkDemands(file, file.expect, { ...nothing, anyApp: true }), '--any-app'],
    [
      'a status',
      () => checkDemands(file, file.expect, { ...nothing, allowed: allowedStatuses(['OutOfDate']) }),
      '--allow-tcb',
    ],
    [
      'a clear disk',
      () => checkDemands(file, file.expect, { ...nothing, allowUnencrypted: true }),
      '--allow-unencrypted-storage',
    ],
    ['no report data', () => checkDemands({ ...file, freshRequired: true }, join(), nothing), '--expect'],
    [
      'zeros as report data',
      () => checkDemands({ ...file, freshRequired: true }, join('report-data=00'), nothing),
      '--expect',
    ],
  ])('is refused when it is %s', (_, work, field) => {
    expect(work).toThrow(expect.objectContaining({ code: 'INPUT_INVALID', exit: 2, field }));
  });

  it('names no other root than the file, whose silence means Intel’s', async () => {
    const sha256 = createHash('sha256').update(PKI.root).digest('hex');
    expect((await trustAnchor(undefined, read({ version: 1, root: { pem: ROOT_PEM } }))).sha256).toBe(sha256);
    expect((await trustAnchor(undefined, read({ version: 1 }))).intel).toBe(true);
    await expect(trustAnchor(undefined, read({ version: 1, root: { sha256 } }))).rejects.toMatchObject({ exit: 2 });
  });
});

describe('a judgement by the file', () => {
  const judge = (input: Uint8Array, document: object, collateral = COLLATERAL) => {
    const { expect, anyApp, references, allowed, refusedAdvisories, vmConfig } = read(document);
    const rest = { anyApp, allowed, refusedAdvisories, system: { references, vmConfig } };
    return verifyEvidence(input, {
      ...{ expect, ...rest, root: ROOT, at: NOW },
      collateral: async () => ({ collateral, source: 'test' }),
    });
  };
  const V0 = encodeVersioned(attestationOf());
  const events = bootEvents().map(({ event, payload }) => ({ event, payload: toHex(payload) }));

  it('proves app, system and freshness, and finds what differs', async () => {
    const app = { app_id: '01'.repeat(20), compose_hash: '02'.repeat(32), events };
    const report = await judge(V0, { version: 1, app, report_data: toHex(REPORT_DATA) });
    expect([report.verdict, report.proof.app.state, report.proof.fresh.state]).toEqual(['valid', 'proven', 'proven']);
    const other = await judge(V0, { version: 1, app: { ...app, compose_hash: hash(32) } });
    expect([other.verdict, other.proof.app.state]).toEqual(['invalid', 'contradicted']);
    expect((await judge(V0, { version: 1, image: { registers: { mrtd: '11'.repeat(48) } } })).verdict).toBe(
      'unchecked',
    );
  });

  it('proves the image by the document in it, also where the host states no os_image_hash', async () => {
    const image = {
      os_image_hash: toHex(folderOf(FILES).osImageHash as Uint8Array),
      measurement: FULL.image.measurement,
    };
    for (const members of [{}, { os_image_hash: undefined }]) {
      const config = { ...vmConfigOf(FILES, members), tdx_measurement: undefined };
      const report = await judge(answerOf({ measured: fromDocument(FILES), config }), {
        version: 1,
        app: 'any',
        image,
      });
      expect([report.verdict, report.proof.system.state]).toEqual(['valid', 'proven']);
    }
  });

  it('refuses an advisory that applies, whatever the status', async () => {
    const tcb = { allowed_statuses: ['SWHardeningNeeded'], refused_advisories: ['INTEL-SA-00001'] };
    const status = { tcbStatus: 'SWHardeningNeeded', advisoryIds: ['INTEL-SA-00001'] };
    const other = await judge(V0, { version: 1, app: 'any', tcb }, mockCollateral(PKI, NOW, status));
    expect([other.verdict, ...named(other, 'fail')]).toEqual([
      'invalid',
      'tcb-advisories: INTEL-SA-00001 applies to this platform, and you refuse it',
    ]);
    const fine = await judge(V0, { version: 1, app: 'any', tcb });
    expect(fine.checks).toContainEqual(
      expect.objectContaining({ name: 'tcb-advisories', outcome: 'pass', part: 'machine' }),
    );
  });
});

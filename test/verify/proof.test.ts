/** What a verdict says in parts, and what it takes for `valid`. */
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { encodeVersioned } from '../../src/tdx/attestation.ts';
import { mrConfigIdV1 } from '../../src/tdx/mr-config.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { imageReference, type SystemReference } from '../../src/verify/system-reference.ts';
import { attestationOf, bootEvents, COMPOSE_HASH, judge, named, quoteOf, REPORT_DATA, runtimeEvent } from './guest.ts';
import {
  answerOf,
  FILES,
  folderOf,
  fromDocument,
  fromImage,
  OTHER_KERNEL,
  type Vm,
  vmConfigOf,
} from './system-fixture.ts';

const V0 = encodeVersioned(attestationOf());
const QUOTE = quoteOf(bootEvents());
const APP_ID = '01'.repeat(20);
const BODY = parseQuote(QUOTE).body;
const strict = (input: Uint8Array, expect: string[] = [], more: Parameters<typeof judge>[1] = {}) =>
  judge(input, { expect, anyApp: false, ...more });
const states = ({ proof }: Awaited<ReturnType<typeof judge>>) =>
  [proof.machine, proof.system, proof.app, proof.fresh].map(({ state }) => state).join(', ');

describe('which app is expected', () => {
  const bound = encodeVersioned(attestationOf(bootEvents(), { mrConfigId: mrConfigIdV1(COMPOSE_HASH) }));
  const configId = toHex(mrConfigIdV1(COMPOSE_HASH));
  it.each([
    ['app-id', V0, [`app-id=${APP_ID}`]],
    ['compose-hash', V0, [`compose-hash=${toHex(COMPOSE_HASH)}`]],
    ['event app-id', V0, [`event app-id=${APP_ID}`]],
    ['event compose-hash', V0, [`event compose-hash=${toHex(COMPOSE_HASH)}`]],
    ['rtmr3', V0, [`rtmr3=${toHex(BODY.rtmrs[3])}`]],
    ['mr-config-id', bound, [`mr-config-id=${configId}`]],
  ])('is said by %s', async (name, input, pins) => {
    const report = await strict(input, pins);
    expect([report.verdict, ...named(report, 'unknown')]).toEqual(['valid']);
    expect(states(report)).toBe('proven, not proven, proven, not proven');
    expect(named(report, 'pass')).toContain(`expect-app: pinned by ${name}`);
  });

  it('is said by a prediction that knows it, not by one that leaves it open', async () => {
    const predicted = bootEvents().map(({ event, payload }) => ({ event, payload: toHex(payload) as string | null }));
    const report = await strict(V0, [], { predicted });
    expect([report.verdict, report.proof.app.state]).toEqual(['valid', 'proven']);
    const open = predicted.map((event) => ({ ...event, payload: null }));
    expect((await strict(V0, [], { predicted: open })).verdict).toBe('unchecked');
  });

  const anonymous = [runtimeEvent('system-preparing'), runtimeEvent('boot-mr-done')];
  const blank = encodeVersioned(attestationOf(anonymous));
  it.each([
    ['nothing', V0, []],
    ['a bare quote of which nothing is expected', QUOTE, []],
    ['an instance', V0, [`instance-id=${'04'.repeat(20)}`]],
    ['a key provider', V0, ['key-provider=none']],
    ['an event of the app', V0, [`event my-app=${toHex(Buffer.from('hello'))}`]],
    ['report data', V0, [`report-data=${toHex(REPORT_DATA)}`]],
    ['the registers of the system', V0, [0, 1, 2].map((i) => `rtmr${i}=${toHex(BODY.rtmrs[i] as Uint8Array)}`)],
    ['RTMR3 that no log explains', QUOTE, [`rtmr3=${toHex(BODY.rtmrs[3])}`]],
    [
      'an MR_CONFIG_ID that no log explains',
      quoteOf(bootEvents(), { mrConfigId: mrConfigIdV1(COMPOSE_HASH) }),
      [`mr-config-id=${configId}`],
    ],
    ['an MR_CONFIG_ID of zeros', V0, [`mr-config-id=${'00'.repeat(48)}`]],
    ['an app id that is empty, of a guest that measured none', blank, ['app-id=', 'compose-hash=']],
    ['RTMR3 of a guest that measured no app', blank, [`rtmr3=${toHex(parseQuote(quoteOf(anonymous)).body.rtmrs[3])}`]],
  ])('is not said by %s', async (_, input, pins) => {
    const report = await strict(input, pins);
    expect(named(report, 'fail')).toEqual([]);
    expect([report.verdict, named(report, 'unknown')]).toEqual(['unchecked', [expect.stringMatching(/^expect-app: /)]]);
    expect(report.proof.app.state).toBe('not proven');
    expect(report.notProven).toContainEqual(expect.stringMatching(/^which app runs: /));
  });

  it('may be any, if that is said; it is still not proven', async () => {
    const report = await strict(QUOTE, [], { anyApp: true });
    expect([report.verdict, report.proof.app.state]).toEqual(['valid', 'not proven']);
    expect(report.notProven).toContainEqual('which app runs: any app is accepted, as you said');
  });

  it('cannot be told from a bare quote', async () => {
    const report = await strict(QUOTE, [`app-id=${APP_ID}`]);
    expect([report.verdict, report.proof.app.state]).toEqual(['unchecked', 'not proven']);
    expect(named(report, 'unknown')).toEqual(['expect app-id: this evidence does not tell it']);
  });
});

describe('the parts', () => {
  const PIN = [`app-id=${APP_ID}`];
  it('of another app: contradicted, and nothing else is', async () => {
    const report = await strict(V0, [`app-id=${'00'.repeat(19)}01`]);
    expect([report.verdict, states(report)]).toEqual(['invalid', 'proven, not proven, contradicted, not proven']);
  });

  it('of a quote that is not genuine: nothing in it counts', async () => {
    const spoiled = Uint8Array.from(QUOTE);
    spoiled[640] = (spoiled[640] ?? 0) ^ 1;
    const report = await strict(spoiled, [`report-data=${toHex(REPORT_DATA)}`, `rtmr0=${toHex(BODY.rtmrs[0])}`]);
    expect([report.verdict, states(report)]).toEqual(['invalid', 'contradicted, not proven, not proven, not proven']);
  });

  it('without collateral: open, not contradicted', async () => {
    const report = await strict(V0, PIN, { at: Date.parse('2027-03-01T12:00:00Z') });
    expect([report.verdict, states(report)]).toEqual(['unchecked', 'not proven, not proven, not proven, not proven']);
  });

  it('of a system that only the host names, of one that was named, and of another one', async () => {
    const vm = { measured: fromImage(FILES), config: { ...vmConfigOf(FILES), tdx_measurement: undefined } };
    const lite = { measured: fromDocument(FILES), config: vmConfigOf(FILES) };
    const of = (answer: Vm, references: readonly SystemReference[] = []) =>
      judge(answerOf(answer), { system: { references } });
    const stated = await of(lite);
    expect([stated.proof.system.state, stated.verdict]).toEqual(['not proven', 'valid']);
    expect(stated.proof.system.why).toMatch(/os_image_hash [0-9a-f]{64}, which only the host names$/);
    const named = await of(vm, [imageReference(folderOf(FILES))]);
    expect([named.proof.system.state, named.proof.app.conditional]).toEqual(['proven', false]);
    expect(named.notProven).toContainEqual(expect.stringMatching(/^that the ACPI tables are harmless/));
    const other = await of(vm, [imageReference(folderOf({ ...FILES, kernel: OTHER_KERNEL }))]);
    expect([other.proof.system.state, other.verdict]).toEqual(['contradicted', 'invalid']);
  });

  it('fresh only with report data of the asker, and zeros are nobody’s', async () => {
    expect((await strict(V0, [...PIN, `report-data=${toHex(REPORT_DATA)}`])).proof.fresh.state).toBe('proven');
    expect((await strict(V0, [...PIN, 'report-data=01'])).proof.fresh.state).toBe('contradicted');
    const zeros = encodeVersioned(attestationOf(bootEvents(), { reportData: new Uint8Array(64) }));
    const report = await strict(zeros, [...PIN, 'report-data=']);
    expect([report.verdict, report.proof.fresh.state]).toEqual(['valid', 'not proven']);
  });
});

describe('what is not proven', () => {
  it('names the root, the system, the app’s condition and freshness', async () => {
    const report = await strict(V0, [`app-id=${APP_ID}`]);
    expect(report.proof.machine).toMatchObject({ state: 'proven', root: { intel: false } });
    expect(report.proof.app.conditional).toBe(true);
    expect(report.notProven.map((text) => text.split(':')[0])).toEqual([
      'that Intel vouches for the machine',
      'which operating system runs',
      'that the app’s events were measured by a system you trust',
      'that the evidence is fresh',
    ]);
  });

  it('names a status and a clear disk that were allowed', async () => {
    const clear = bootEvents().flatMap((event) =>
      event.event === 'storage-fs' ? [event, runtimeEvent('storage-unencrypted')] : [event],
    );
    const report = await strict(encodeVersioned(attestationOf(clear)), [`app-id=${APP_ID}`], {
      allowUnencrypted: true,
    });
    expect(report.notProven).toContainEqual(
      expect.stringMatching(/^that the host cannot read or change the data disk/),
    );
  });
});

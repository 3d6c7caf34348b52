import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mockCcel } from '../../simulator/mock-ccel.ts';
import { mockQuote } from '../../simulator/mock-quote.ts';
import { setNative } from '../../src/sys/native.ts';
import { decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { decodeVersioned, encodeVersioned, strip, tdxEventLog, tdxQuote } from '../../src/tdx/attestation.ts';
import { type EventLogOptions, emitEvent, setEventVersion } from '../../src/tdx/event-log.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { replay, replayRuntime } from '../../src/tdx/replay.ts';
import { readEventLog, takeAttestation } from '../../src/tdx/take-evidence.ts';
import { realTdxMachine } from '../../src/tdx/tdx-machine.ts';
import { fakeNative } from './fake-native.ts';
import { FakeTsm } from './fake-tsm.ts';
import { PKI } from './sample.ts';

const REPORT_DATA = new Uint8Array(64).fill(0x42);
let root: string;
let fake: FakeTsm;
let options: EventLogOptions & { dir: string };
/** runs while the quote is being made */
let meanwhile: (() => Promise<unknown>) | undefined;

function put(path: string, content: Uint8Array | string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), content);
}

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'evidence-'));
  put('dev/tdx_guest', '');
  put('sys/firmware/acpi/tables/data/CCEL', mockCcel());
  put('share/.sys-config.json', '{"vm_config":"{\\"os_image_hash\\":\\"abcd\\"}"}');
  vi.stubEnv('DSTACK_HOST_SHARED_DIR', join(root, 'share'));
  meanwhile = undefined;
  fake = new FakeTsm({
    reportDir: `${root}/sys/kernel/config/tsm/report`,
    measurementsDir: `${root}/sys/devices/virtual/misc/tdx_guest/measurements`,
    quote: async (reportData, { registers }) => {
      const quoted = [...registers];
      await meanwhile?.();
      return mockQuote(PKI, { mrtd: new Uint8Array(48).fill(0x11), rtmrs: quoted, reportData });
    },
  });
  options = { ...realTdxMachine, root, files: fake, dir: join(root, 'log') };
  setNative(fakeNative());
});
afterEach(() => {
  vi.unstubAllEnvs();
  setNative(undefined);
  rmSync(root, { recursive: true });
});

describe.each([1, 2] as const)('attestation with events of version %i', (version) => {
  beforeEach(async () => {
    await setEventVersion(version, options);
    await emitEvent('app-id', new Uint8Array(20).fill(1), options);
    await emitEvent('system-ready', new Uint8Array(), options);
  });

  it('holds together: report data, log, register, vm_config', async () => {
    const attestation = await takeAttestation(REPORT_DATA, options);
    const { body } = parseQuote(tdxQuote(attestation));
    expect(body.reportData).toEqual(REPORT_DATA);
    expect(attestation.reportData).toEqual(REPORT_DATA);
    expect(replayRuntime(attestation.runtimeEvents)).toEqual(body.rtmrs[3]);
    expect(replay(tdxEventLog(attestation), 3)).toEqual(body.rtmrs[3]);
    expect(tdxEventLog(attestation)).toHaveLength(19 + 2);
    expect(tdxEventLog(attestation).filter(({ preimage }) => preimage !== undefined)).toHaveLength(
      version === 2 ? 2 : 0,
    );
    expect(decodeAppInfo(attestation).osImageHash).toEqual(Uint8Array.of(0xab, 0xcd));
  });

  it('survives its own encoding, stripped and not', async () => {
    const attestation = await takeAttestation(REPORT_DATA, options);
    const form = version === 1 ? 'V0' : 'V1';
    expect(decodeVersioned(encodeVersioned(attestation))).toEqual({ form, attestation });
    const stripped = strip(attestation);
    expect(decodeVersioned(encodeVersioned(stripped)).attestation).toEqual(stripped);
    expect(decodeAppInfo(stripped)).toEqual(decodeAppInfo(attestation));
  });

  it('leaves out an event that is measured while the quote is made', async () => {
    meanwhile = () => emitEvent('later', new Uint8Array(), options);
    const attestation = await takeAttestation(REPORT_DATA, options);
    expect(attestation.runtimeEvents.map(({ event }) => event)).toEqual(['app-id', 'system-ready']);
    expect(await readEventLog(options)).toHaveLength(19 + 3);
  });
});

describe('circumstances', () => {
  beforeEach(() => setEventVersion(1, options));

  it('a missing or damaged system configuration leaves the config empty', async () => {
    put('share/.sys-config.json', '{');
    expect((await takeAttestation(REPORT_DATA, options)).config).toBe('');
    rmSync(join(root, 'share'), { recursive: true });
    expect((await takeAttestation(REPORT_DATA, options)).config).toBe('');
    expect((await takeAttestation(REPORT_DATA, { ...options, config: '{}' })).config).toBe('{}');
  });

  it('a quote for other report data is refused: the service of the host is not trusted', async () => {
    const other = new FakeTsm({
      reportDir: `${root}/sys/kernel/config/tsm/report`,
      quote: () => mockQuote(PKI, { mrtd: new Uint8Array(48), rtmrs: [], reportData: new Uint8Array(64) }),
    });
    await expect(takeAttestation(REPORT_DATA, { ...options, files: other })).rejects.toMatchObject({
      code: 'QUOTE_INVALID',
      field: 'report_data',
    });
  });

  it('without the boot event log there is no evidence', async () => {
    rmSync(join(root, 'sys/firmware'), { recursive: true });
    await expect(takeAttestation(REPORT_DATA, options)).rejects.toMatchObject({ code: 'CCEL_UNAVAILABLE' });
  });
});

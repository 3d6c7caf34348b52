/**
 * Boot logs as firmware in the field writes them. Facts: edk2's TdTcg2Dxe puts the SP800-155 events that a host hands over
 * behind the header, in register index 0 (seen on Google's TDX guests with Ubuntu); the firmware profile gives index
 * 0xffffffff to entries that belong to no register; an EV_NO_ACTION entry is never extended, whatever its index. OVMF of
 * Ubuntu's first TDX release measured a separator into RTMR0 between two events of RTMR1. A guest of Azure reaches its
 * firmware's measurements through a vTPM and has no such table.
 */
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { decodeVersioned, encodeV0, encodeV1, strip, tdxEventLog } from '../../src/tdx/attestation.ts';
import { parseCcel } from '../../src/tdx/ccel.ts';
import { fullLogJson, parseLogJson, quoteLogJson } from '../../src/tdx/log-json.ts';
import { replay } from '../../src/tdx/replay.ts';
import { NO_REGISTER } from '../../src/tdx/tdx-event.ts';
import google from '../vectors/ccel-google.json' with { type: 'json' };
import { entryBytes, headerBytes, type LogEntry, logArea, noAction, referenceManifest, u32 } from './ccel-writer.ts';
import { sampleAttestation } from './sample.ts';

const AREA = 262_144;
const COS: readonly LogEntry[] = google.entries.map(([register, type, size, digest]) => ({
  register: register as number,
  type: type as number,
  data: new Uint8Array(size as number).fill(0x20),
  digest: fromHex(digest as string),
}));
const MANIFEST = referenceManifest('https://storage.example/ovmf_x64_csm/tdx/1.binarypb');
const registersOf = (area: Uint8Array): string[] => [0, 1, 2].map((imr) => toHex(replay(parseCcel(area), imr)));
/** The log with entries put in front of its entry number `at`. */
const withEntries = (at: number, ...more: LogEntry[]): Uint8Array =>
  logArea([...COS.slice(0, at), ...more, ...COS.slice(at)], AREA);
const refused = expect.objectContaining({ code: 'CCEL_INVALID' });

describe('boot logs of real firmware', () => {
  it("a log of Google's firmware replays to the registers of its quote", () => {
    expect(registersOf(logArea(COS, AREA))).toEqual(google.registers);
  });

  it('reference manifests in register index 0 are passed over', () => {
    const area = withEntries(0, noAction(0, MANIFEST), noAction(0, MANIFEST));
    expect(parseCcel(area)).toEqual(parseCcel(logArea(COS, AREA)));
  });

  it.each([
    ['behind the header', 0],
    ['in the middle', 20],
    ['at the end', COS.length],
  ])('an entry for no register %s stays in the log and hides nothing behind it', (_, at) => {
    const area = withEntries(at, noAction(NO_REGISTER, MANIFEST));
    const events = parseCcel(area);
    expect(events).toHaveLength(COS.length + 1);
    expect(events[at]).toMatchObject({ imr: NO_REGISTER, eventType: 3, payload: MANIFEST });
    expect(registersOf(area)).toEqual(google.registers);
  });

  it.each([1, 2, 3, 4])('an entry that only informs is kept and not extended in register index %i', (register) => {
    const area = withEntries(5, noAction(register, 'StartupLocality\0\x03'));
    expect(parseCcel(area)[5]).toMatchObject({ imr: register - 1, eventType: 3 });
    expect(registersOf(area)).toEqual(google.registers);
    expect(toHex(replay(parseCcel(area), 3))).toBe('00'.repeat(48));
  });

  it('a separator of another register between two events stays where it was written', () => {
    const separator: LogEntry = { register: 1, type: 4, data: u32(0) };
    const area = withEntries(16, separator);
    expect(registersOf(area)).not.toEqual(google.registers);
    expect(registersOf(area).slice(1)).toEqual(google.registers.slice(1));
  });
});

describe('the end of a boot log', () => {
  it('is where the padding starts, or where the area is full', () => {
    expect(parseCcel(logArea(COS))).toHaveLength(COS.length);
    expect(parseCcel(logArea(COS, AREA))).toHaveLength(COS.length);
    expect(parseCcel(Buffer.concat([logArea(COS), Uint8Array.of(0xff, 0xff)]))).toHaveLength(COS.length);
  });

  it('is not an entry of another type for no register: what follows would be lost without a word', () => {
    const area = withEntries(3, { register: NO_REGISTER, type: 4, data: u32(0) });
    expect(() => parseCcel(area)).toThrowError(refused);
    expect(() => parseCcel(area)).toThrowError(/register 4294967295 does not exist/);
  });

  it('is not reached by an entry for no register that is cut short', () => {
    const whole = Buffer.concat([headerBytes(), entryBytes(noAction(NO_REGISTER, MANIFEST))]);
    for (let size = headerBytes().length + 8; size < whole.length; size++) {
      expect(() => parseCcel(whole.subarray(0, size)), `cut at ${size}`).toThrowError(refused);
    }
  });
});

describe('entries that only inform', () => {
  const informed = () => {
    const attestation = sampleAttestation();
    const { platform } = attestation;
    if (platform.kind !== 'tdx') throw new Error('the sample is of TDX');
    const entries = parseCcel(logArea([noAction(NO_REGISTER, MANIFEST), noAction(1, 'x'), noAction(4, 'y')]));
    return { ...attestation, platform: { ...platform, eventLog: [...entries, ...platform.eventLog] } };
  };

  it('survive both forms of an attestation and the event log in JSON', () => {
    const attestation = informed();
    const log = tdxEventLog(attestation);
    expect(tdxEventLog(decodeVersioned(encodeV0(attestation)).attestation)).toEqual(log);
    expect(tdxEventLog(decodeVersioned(encodeV1(attestation)).attestation)).toEqual(log);
    expect(parseLogJson(JSON.stringify(fullLogJson(log)))).toEqual(log);
    expect(parseLogJson(quoteLogJson(log))[0]).toMatchObject({ imr: NO_REGISTER, payload: new Uint8Array() });
  });

  it('change no register in any of them', () => {
    for (const attestation of [informed(), strip(informed())]) {
      const before = replay(tdxEventLog(sampleAttestation()), 3);
      expect(replay(tdxEventLog(attestation), 3)).toEqual(before);
    }
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { tdxEventLog } from '../../src/tdx/attestation.ts';
import { preimage } from '../../src/tdx/events.ts';
import { type EventJson, fullLogJson, parseLogJson, quoteLogJson } from '../../src/tdx/log-json.ts';
import { replay } from '../../src/tdx/replay.ts';
import { withPreimage } from '../../src/tdx/tdx-event.ts';
import { sampleAttestation } from './sample.ts';

const log = (version: 1 | 2) => tdxEventLog(sampleAttestation(version));

describe('full log', () => {
  it('has every field in the documented order', () => {
    const [first] = fullLogJson(log(1));
    expect(Object.keys(first ?? {})).toEqual(['imr', 'event_type', 'digest', 'event', 'event_payload']);
    const last = fullLogJson(log(2), { preimages: true }).at(-1);
    expect(Object.keys(last ?? {})).toEqual([
      'imr',
      'event_type',
      'digest',
      'event',
      'event_payload',
      'version',
      'preimage',
    ]);
  });

  it('has no preimages unless asked for, even if the events have them', () => {
    const withThem = log(2).map(withPreimage);
    expect(fullLogJson(withThem).some(({ preimage: filled }) => filled !== undefined)).toBe(false);
    expect(fullLogJson(log(1), { preimages: true }).some(({ preimage: filled }) => filled !== undefined)).toBe(false);
  });

  it('can be read back and replays the same', () => {
    for (const version of [1, 2] as const) {
      const events = parseLogJson(JSON.stringify(fullLogJson(log(version))));
      expect(events).toEqual(log(version));
      for (const imr of [0, 1, 2, 3]) expect(replay(events, imr)).toEqual(replay(log(version), imr));
    }
  });
});

describe('log in a quote answer', () => {
  const parsed = (version: 1 | 2) => JSON.parse(quoteLogJson(log(version))) as EventJson[];

  it('empties payloads of firmware events except the ACPI tables', () => {
    const firmware = parsed(1).filter(({ imr }) => imr < 3);
    expect(firmware.every(({ digest }) => digest.length === 96)).toBe(true);
    const kept = firmware.filter(({ event_payload }) => event_payload !== '');
    expect(kept.map(({ event }) => event)).toEqual(['acpi-loader', 'acpi-rsdp', 'acpi-tables']);
    expect(kept.every((event) => event.event_payload === Buffer.from('ACPI DATA').toString('hex'))).toBe(true);
  });

  it('empties digests of runtime events and fills preimages of version 2', () => {
    const runtime = parsed(2).filter(({ imr }) => imr === 3);
    expect(runtime.map(({ digest }) => digest)).toEqual(['', '', '', '']);
    expect(runtime[1]?.event_payload).toBe('01'.repeat(20));
    const source = { event: 'app-id', payload: new Uint8Array(20).fill(1), version: 2 as const };
    expect(runtime[1]?.preimage).toBe(toHex(preimage(source)));
    expect(parsed(1).some((event) => 'preimage' in event || 'version' in event)).toBe(false);
  });

  it('is compact text that replays to the same RTMR3', () => {
    const text = quoteLogJson(log(1));
    expect(text).toBe(JSON.stringify(JSON.parse(text)));
    expect(replay(parseLogJson(text), 3)).toEqual(replay(log(1), 3));
  });
});

describe('reading', () => {
  const entry = { imr: 0, event_type: 4, digest: '00', event: '', event_payload: '' };

  it('a missing digest is empty', () => {
    const { digest: _, ...bare } = entry;
    expect(parseLogJson(JSON.stringify([bare]))[0]?.digest).toEqual(new Uint8Array());
  });

  it.each([
    ['no JSON', '['],
    ['no array', '{}'],
    ['no object', '[1]'],
    ['a negative register', JSON.stringify([{ ...entry, imr: -1 }])],
    ['a type above 32 bits', JSON.stringify([{ ...entry, event_type: 2 ** 32 }])],
    ['a digest that is not hex', JSON.stringify([{ ...entry, digest: 'xyz0' }])],
    ['no payload', JSON.stringify([{ ...entry, event_payload: undefined }])],
    ['a version of its own', JSON.stringify([{ ...entry, version: 3 }])],
  ])('%s is refused', (_, text) => {
    expect(() => parseLogJson(text)).toThrowError(expect.objectContaining({ code: 'EVENT_LOG_INVALID' }));
  });

  it('throws nothing but its own error', () => {
    const member = fc.oneof(fc.string(), fc.integer(), fc.constant(null), fc.constant('00ff'));
    const keys = fc.constantFrom('imr', 'event_type', 'digest', 'event', 'event_payload', 'version', 'preimage');
    fc.assert(
      fc.property(fc.array(fc.dictionary(keys, member)), (value) => {
        try {
          parseLogJson(JSON.stringify(value));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { canonicalJson } from '../../src/codec/jcs.ts';
import { formatLine, parseLog } from '../../src/tdx/event-log.ts';
import {
  type EventVersion,
  eventDigest,
  preimage,
  RUNTIME_EVENT_TYPE,
  type RuntimeEvent,
} from '../../src/tdx/events.ts';
import { replay, replayRuntime } from '../../src/tdx/replay.ts';
import { toTdxEvent } from '../../src/tdx/tdx-event.ts';
import vectors from '../vectors/measurement.json' with { type: 'json' };

const event = (name: string, payloadHex: string, version: number): RuntimeEvent => ({
  event: name,
  payload: fromHex(payloadHex),
  version: version as EventVersion,
});

describe('event digests', () => {
  it.each(vectors.runtime_event_digest)('$name, payload $payload_hex', (vector) => {
    const subject = event(vector.event, vector.payload_hex, vector.version);
    expect(toHex(preimage(subject))).toBe(vector.preimage_hex);
    expect(toHex(eventDigest(subject))).toBe(vector.sha384_hex);
    expect(createHash('sha256').update(preimage(subject)).digest('hex')).toBe(vector.sha256_hex);
  });

  it.each(vectors.event_v2_canonical_json)('canonical form of $name', (vector) => {
    const subject = event(vector.event, vector.payload_hex, 2);
    expect(Buffer.from(preimage(subject)).toString()).toBe(vector.canonical);
    expect(toHex(eventDigest(subject))).toBe(vector.sha384_hex);
  });

  it('the version 2 preimage is RFC 8785 JSON for any text', () => {
    for (const name of ['', 'ä€😀', '"\\/', '\u007f\u0080\u2028\u2029', '\u0000\u001f']) {
      const text = Buffer.from(preimage({ event: name, payload: Uint8Array.of(1, 255), version: 2 })).toString();
      expect(text).toBe(canonicalJson({ type: RUNTIME_EVENT_TYPE, payload: '01ff', name }));
    }
  });
});

describe('log lines', () => {
  it.each(vectors.runtime_event_digest)('$name, payload $payload_hex', (vector) => {
    const subject = event(vector.event, vector.payload_hex, vector.version);
    expect(formatLine(subject)).toBe(`${vector.log_line}\n`);
    expect(parseLog(Buffer.from(vector.log_line), 'log')).toEqual([subject]);
  });
});

describe('replay', () => {
  const [synthetic, mixed] = vectors.replay;

  it('follows the synthetic setup sequence step by step', () => {
    const steps = synthetic?.steps ?? [];
    const events = steps.map((step) => event(step.event, step.payload_hex, 1));
    steps.forEach((step, index) => {
      expect(toHex(replayRuntime(events.slice(0, index + 1)))).toBe(step.rtmr3_after_hex);
    });
    expect(toHex(replayRuntime(events))).toBe(synthetic?.final_sha384_hex);
    expect(toHex(replay(events.map(toTdxEvent), 3))).toBe(synthetic?.final_sha384_hex);
    expect(toHex(replayRuntime(events, { upTo: 'boot-mr-done' }))).toBe(steps[5]?.rtmr3_after_hex);
  });

  it('mixes versions', () => {
    const events = [event('app-id', '0102', 1), event('compose-hash', '0304', 2), event('instance-id', '0506', 1)];
    expect(toHex(replayRuntime(events))).toBe(mixed?.final_sha384_hex);
  });

  it('does not trust the recorded digest of a runtime event', () => {
    const good = toTdxEvent(event('app-id', '0102', 1));
    expect(replay([{ ...good, digest: new Uint8Array(48) }], 3)).toEqual(replay([good], 3));
    expect(replay([{ ...good, digest: new Uint8Array() }], 3)).toEqual(replay([good], 3));
  });

  it('replays the events of a recorded guest', () => {
    const { runtime_events: recorded, rtmr_hex: registers } = vectors.fixture_attestation;
    const events = recorded.map((entry) => event(entry.event, entry.payload_hex, 1));
    expect(toHex(replayRuntime(events))).toBe(registers[3]);
  });
});

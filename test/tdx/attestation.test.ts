import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/codec/hex.ts';
import { DstackError } from '../../src/errors.ts';
import { decodeAppInfoExtension, encodeAppInfo } from '../../src/tdx/app-info-extension.ts';
import {
  type Attestation,
  decodeV0,
  decodeV1,
  decodeVersioned,
  encodeV0,
  encodeV1,
  encodeVersioned,
  project,
  strip,
  tdxEventLog,
} from '../../src/tdx/attestation.ts';
import { eventDigest, preimage, type RuntimeEvent } from '../../src/tdx/events.ts';
import { type TdxEvent, toTdxEvent, withPreimage } from '../../src/tdx/tdx-event.ts';
import { TPM_PLATFORMS } from '../../src/tdx/tpm-quote.ts';
import { failure } from '../failure.ts';
import vectors from '../vectors/attestation.json' with { type: 'json' };
import { sampleAttestation } from './sample.ts';

const bytes = fc.uint8Array({ maxLength: 40 });
const text = fc.string({ unit: 'binary', maxLength: 12 });
const u32 = fc.integer({ min: 0, max: 0xffffffff });

const runtimeEvent = (version: fc.Arbitrary<1 | 2>): fc.Arbitrary<RuntimeEvent> =>
  fc.record({ event: text, payload: bytes, version });
const logEvent = (version: fc.Arbitrary<1 | 2>): fc.Arbitrary<TdxEvent> =>
  fc.record({ imr: u32, eventType: u32, digest: bytes, event: text, payload: bytes, version });

const platform = (version: fc.Arbitrary<1 | 2>): fc.Arbitrary<Attestation['platform']> =>
  fc.oneof(
    fc.record({ kind: fc.constant('tdx' as const), quote: bytes, eventLog: fc.array(logEvent(version)) }),
    fc.record({
      kind: fc.constant('gcp-tdx' as const),
      quote: bytes,
      eventLog: fc.array(logEvent(version)),
      tpmQuote: fc.record({
        message: bytes,
        signature: bytes,
        pcrValues: fc.array(fc.record({ index: u32, algorithm: text, value: bytes })),
        akCert: bytes,
        platform: fc.constantFrom(...TPM_PLATFORMS),
        eventLog: fc.array(fc.record({ pcrIndex: u32, digest: bytes })),
      }),
    }),
    fc.record({ kind: fc.constant('nitro-enclave' as const), nsmQuote: bytes }),
    fc.record({ kind: fc.constant('aws-nitro-tpm' as const), attestationDoc: bytes }),
    fc.record({ kind: fc.constant('sev-snp' as const), report: bytes, certChain: fc.array(bytes), mrConfig: text }),
  );

const attestation = (version: fc.Arbitrary<1 | 2>): fc.Arbitrary<Attestation> =>
  fc.record({
    platform: platform(version),
    reportData: fc.uint8Array({ minLength: 64, maxLength: 64 }),
    runtimeEvents: fc.array(runtimeEvent(version), { maxLength: 5 }),
    config: text,
  });

const v1 = fc.constant(1 as const);
const any = fc.constantFrom(1 as const, 2 as const);

describe('V1', () => {
  it.each(vectors.attestation_v1_msgpack)('$name', (vector) => {
    const event: RuntimeEvent = { event: 'app-id', payload: fromHex(vector.app_id_payload_hex), version: 2 };
    const subject: Attestation = {
      platform: { kind: 'tdx', quote: fromHex(vector.quote_hex), eventLog: [toTdxEvent(event)] },
      reportData: fromHex(vector.report_data_hex),
      runtimeEvents: [event],
      config: '{}',
    };
    expect(toHex(encodeVersioned(subject))).toBe(vector.encoded_hex);
    expect(decodeVersioned(fromHex(vector.encoded_hex))).toEqual({ form: 'V1', attestation: subject });
  });

  it('round-trips every platform', () => {
    fc.assert(
      fc.property(attestation(any), (subject) => {
        expect(decodeV1(encodeV1(subject))).toEqual(subject);
      }),
    );
  });

  it('keeps the pod payload and the preimages', () => {
    const base = sampleAttestation(2);
    const subject: Attestation = {
      ...base,
      platform: { ...base.platform, eventLog: tdxEventLog(base).map(withPreimage) } as Attestation['platform'],
      reportDataPayload: '{"pod":1}',
    };
    expect(decodeV1(encodeV1(subject))).toEqual(subject);
  });

  it('refuses binary where the format has arrays of numbers', () => {
    const hex = toHex(encodeV1(sampleAttestation(2, Uint8Array.of(1, 2, 3))));
    const damaged = hex.replace('a571756f746593010203', 'a571756f7465c403010203');
    expect(damaged).not.toBe(hex);
    expect(() => decodeV1(fromHex(damaged))).toThrowError(/quote is not an array of bytes/);
  });
});

describe('V1 report data', () => {
  it.each([63, 65])('of %i bytes is refused', (size) => {
    const bytes = encodeV1({ ...sampleAttestation(2), reportData: new Uint8Array(size) });
    expect(() => decodeV1(bytes)).toThrowError(/report_data is not 64 bytes/);
  });
});

describe('V0', () => {
  it('round-trips every platform', () => {
    fc.assert(
      fc.property(attestation(v1), (subject) => {
        expect(decodeV0(encodeV0(subject))).toEqual(subject);
      }),
    );
  });

  it('is the natural form without version 2 events', () => {
    expect(encodeVersioned(sampleAttestation(1))[0]).toBe(0);
    expect(encodeVersioned(sampleAttestation(2))[0]).toBe(0x83);
  });

  it('cannot hold version 2 events or a pod payload', () => {
    const refused = expect.objectContaining({ code: 'ATTESTATION_INVALID' });
    expect(() => encodeV0(sampleAttestation(2))).toThrowError(refused);
    expect(() => encodeV0({ ...sampleAttestation(1), reportDataPayload: '' })).toThrowError(refused);
    const { platform } = sampleAttestation(2);
    expect(() => encodeV0({ ...sampleAttestation(1), platform })).toThrowError(refused);
  });
});

describe('projection', () => {
  it('to V1 and back loses nothing', () => {
    fc.assert(
      fc.property(attestation(v1), (subject) => {
        const bytes = encodeV0(subject);
        expect(project(project(bytes, 'V1'), 'V0')).toEqual(bytes);
      }),
    );
  });
});

describe('hostile bytes', () => {
  it.each([
    ['nothing', ''],
    ['an unknown version', '01'],
    ['a msgpack array', '93010203'],
    ['a scalar', '7f'],
    ['an unknown platform', '0007'],
    ['a list longer than the bytes', `0000${'00'}fefffffe`],
    ['an array of 4 billion elements', '81a776657273696f6edd7fffffff'],
    ['nesting without end', `81a776657273696f6e${'91'.repeat(200_000)}`],
  ])('%s is refused', (_, hex) => {
    expect(() => decodeVersioned(fromHex(hex))).toThrowError(expect.objectContaining({ code: 'ATTESTATION_INVALID' }));
  });

  it('every cut and every byte too many is refused', () => {
    for (const version of [1, 2] as const) {
      const whole = encodeVersioned(sampleAttestation(version, new Uint8Array(10)));
      for (let size = 0; size < whole.length; size += 7) {
        expect(() => decodeVersioned(whole.subarray(0, size)), `cut at ${size}`).toThrowError(DstackError);
      }
      expect(() => decodeVersioned(Uint8Array.from([...whole, 0]))).toThrowError(DstackError);
    }
  });

  it('ten megabytes of empty events are refused in little memory', () => {
    // V0, a Nitro document of 0 bytes, then a vector of as many events as SCALE can promise
    for (const [count, why] of [
      [5_000_000, /at most 65536/],
      [65_536, /left over/],
    ] as const) {
      const bomb = new Uint8Array(10_485_760);
      bomb.set([0, 2, 0]);
      new DataView(bomb.buffer).setUint32(3, ((count << 2) | 2) >>> 0, true);
      const before = process.memoryUsage().heapUsed;
      const thrown = failure(() => decodeVersioned(bomb));
      expect(thrown.code).toBe('ATTESTATION_INVALID');
      expect((thrown.cause as Error).message).toMatch(why);
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(128 * 1024 * 1024);
    }
  });

  it('more than 10485760 bytes are refused unseen', () => {
    expect(() => decodeVersioned(new Uint8Array(10_485_761))).toThrowError(/10485761 bytes/);
  });

  it('any change gives an attestation or our own error', () => {
    const samples = ([1, 2] as const).map((version) => encodeVersioned(sampleAttestation(version, new Uint8Array(10))));
    const edit = fc.tuple(fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 5 }));
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.array(edit, { minLength: 1, maxLength: 3 }), (sample, edits) => {
        const copy = Uint8Array.from(sample);
        for (const [place, change] of edits) copy.set(change, place % (copy.length - 5));
        try {
          decodeVersioned(copy);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('strip', () => {
  it('keeps the ACPI tables and RTMR3, without what a verifier computes itself', () => {
    const stripped = tdxEventLog(strip(sampleAttestation(1)));
    expect(stripped.map(({ imr, event }) => `${imr} ${event}`)).toEqual([
      '0 acpi-loader',
      '0 acpi-rsdp',
      '0 acpi-tables',
      '3 system-preparing',
      '3 app-id',
      '3 compose-hash',
      '3 system-ready',
    ]);
    expect(stripped.map(({ digest }) => digest.length)).toEqual([48, 48, 48, 0, 0, 0, 0]);
    expect(Buffer.from(stripped[0]?.payload ?? []).toString()).toBe('ACPI DATA');
    expect(stripped[4]?.payload).toEqual(new Uint8Array(20).fill(1));
  });

  it('empties the payload of foreign events in RTMR3', () => {
    const base = sampleAttestation(1);
    const foreign: TdxEvent = {
      imr: 3,
      eventType: 6,
      digest: new Uint8Array(48).fill(5),
      event: '',
      payload: Uint8Array.of(1, 2),
      version: 1,
    };
    const subject: Attestation = { ...base, platform: { kind: 'tdx', quote: new Uint8Array(), eventLog: [foreign] } };
    expect(tdxEventLog(strip(subject))).toEqual([{ ...foreign, payload: new Uint8Array() }]);
  });

  it('leaves version 2 events in a state verifiers accept', () => {
    const runtime = tdxEventLog(strip(sampleAttestation(2))).filter(({ imr }) => imr === 3);
    expect(runtime).toHaveLength(4);
    for (const event of runtime) {
      const source = { event: event.event, payload: event.payload, version: 2 as const };
      expect(event.digest).toEqual(eventDigest(source));
      expect(event.preimage).toBe(toHex(preimage(source)));
    }
  });
});

describe('app info extension', () => {
  const [vector] = vectors.app_info_msgpack;
  const fields = vector?.fields_hex as NonNullable<typeof vector>['fields_hex'];
  const info = {
    appId: fromHex(fields.app_id),
    composeHash: fromHex(fields.compose_hash),
    instanceId: fromHex(fields.instance_id),
    deviceId: fromHex(fields.device_id),
    mrSystem: fromHex(fields.mr_system),
    mrAggregated: fromHex(fields.mr_aggregated),
    osImageHash: fromHex(fields.os_image_hash),
    keyProviderInfo: fromHex(fields.key_provider_info),
    initScriptHashes: (vector?.init_script_hashes ?? []).map((hash) => fromHex(hash)),
  };

  it('has nine elements', () => {
    expect(toHex(encodeAppInfo(info))).toBe(vector?.encoded_hex);
    expect(toHex(encodeAppInfo(info, { unknownScripts: true }))).toBe(vector?.encoded_with_nil_hex);
    expect(decodeAppInfoExtension(fromHex(vector?.encoded_hex ?? ''))).toEqual(info);
    expect(decodeAppInfoExtension(fromHex(vector?.encoded_with_nil_hex ?? ''))).toEqual({
      ...info,
      initScriptHashes: [],
    });
  });

  it('may have eight in old certificates', () => {
    const eight = fromHex(`98${(vector?.encoded_with_nil_hex ?? '').slice(2, -2)}`);
    expect(decodeAppInfoExtension(eight)).toEqual({ ...info, initScriptHashes: [] });
  });

  it('is refused in any other shape', () => {
    const nine = vector?.encoded_hex ?? '';
    for (const hex of ['', 'c0', '90', `98${nine.slice(2)}`, nine.replace('99c414', '99c314'), `${nine}00`]) {
      expect(() => decodeAppInfoExtension(fromHex(hex)), hex).toThrowError(
        expect.objectContaining({ code: 'ATTESTATION_INVALID' }),
      );
    }
  });
});

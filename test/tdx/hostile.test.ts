/** Every decoder of this room on damaged bytes: cut, lengthened, bits turned. The answer is a value or our own error. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mockCcel } from '../../simulator/mock-ccel.ts';
import { DstackError } from '../../src/errors.ts';
import { decodeAppInfo } from '../../src/tdx/app-identity.ts';
import { decodeAppInfoExtension, encodeAppInfo } from '../../src/tdx/app-info-extension.ts';
import { decodeVersioned, encodeVersioned, tdxEventLog } from '../../src/tdx/attestation.ts';
import { parseCcel } from '../../src/tdx/ccel.ts';
import { formatLine, parseLog } from '../../src/tdx/event-lines.ts';
import { fullLogJson, parseLogJson } from '../../src/tdx/log-json.ts';
import { checkDocument } from '../../src/tdx/mr-config.ts';
import { parseQuote } from '../../src/tdx/quote-layout.ts';
import { decodeResponse } from '../../src/tdx/quote-qgs.ts';
import { sampleAttestation, sampleQuote } from './sample.ts';

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');
const v2 = sampleAttestation(2);
const hash = '22'.repeat(32);
const local = {
  composeHash: new Uint8Array(32).fill(0x22),
  appId: new Uint8Array(20),
  instanceId: new Uint8Array(),
  gpuPolicyHash: new Uint8Array(32),
  initScriptHashes: [],
  keyProvider: 'none' as const,
  keyProviderId: new Uint8Array(),
};

function qgsResponse(): Uint8Array {
  const quote = sampleQuote();
  const out = Buffer.alloc(24);
  out.writeUInt16LE(1, 0);
  out.writeUInt32LE(1, 4);
  out.writeUInt32LE(24 + quote.length, 8);
  out.writeUInt32LE(quote.length, 20);
  return Uint8Array.from(Buffer.concat([out, quote]));
}

const DECODERS: readonly [string, Uint8Array, (bytes: Uint8Array) => unknown][] = [
  ['quote', sampleQuote(), parseQuote],
  ['answer of the quote service', qgsResponse(), decodeResponse],
  ['CCEL', mockCcel(), parseCcel],
  ['lines of the event log', utf8(v2.runtimeEvents.map(formatLine).join('')), (bytes) => parseLog(bytes, 'log')],
  ['JSON event log', utf8(JSON.stringify(fullLogJson(tdxEventLog(v2)))), (bytes) => parseLogJson(text(bytes))],
  ['attestation V0', encodeVersioned(sampleAttestation(1)), decodeVersioned],
  ['attestation V1', encodeVersioned(v2), decodeVersioned],
  ['identity', encodeVersioned(v2), (bytes) => decodeAppInfo(decodeVersioned(bytes).attestation)],
  ['app info', encodeAppInfo(decodeAppInfo(v2)), decodeAppInfoExtension],
  [
    'mr_config document',
    utf8(`{"compose_hash":"${hash}","key_provider":"none"}`),
    (b) => checkDocument(text(b), local),
  ],
];

/** One thing done to good bytes: places are fractions of the length, so that they fit every sample. */
const place = fc.double({ min: 0, max: 1, noNaN: true });
const damage = fc.oneof(
  fc.record({ kind: fc.constant('cut' as const), place }),
  fc.record({ kind: fc.constant('longer' as const), bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }) }),
  fc.record({
    kind: fc.constant('turned' as const),
    places: fc.array(place, { minLength: 1, maxLength: 20 }),
    bit: fc.nat(7),
  }),
  fc.record({
    kind: fc.constant('number' as const),
    place,
    value: fc.constantFrom(0, 1, 0x7f, 0x80, 0xffff, 0x7fffffff, 0xffffffff),
  }),
  fc.record({ kind: fc.constant('twice' as const), place, length: fc.nat(400) }),
);

type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(sample: Uint8Array, how: Damage): Uint8Array {
  const bytes = Buffer.from(sample);
  switch (how.kind) {
    case 'cut':
      return Uint8Array.from(bytes.subarray(0, Math.floor(how.place * bytes.length)));
    case 'longer':
      return Uint8Array.from(Buffer.concat([bytes, how.bytes]));
    case 'turned':
      for (const at of how.places) {
        const index = Math.min(bytes.length - 1, Math.floor(at * bytes.length));
        bytes[index] = (bytes[index] ?? 0) ^ (1 << how.bit);
      }
      return Uint8Array.from(bytes);
    case 'number':
      if (bytes.length >= 4) bytes.writeUInt32LE(how.value, Math.floor(how.place * (bytes.length - 4)));
      return Uint8Array.from(bytes);
    case 'twice': {
      const at = Math.floor(how.place * bytes.length);
      return Uint8Array.from(Buffer.concat([bytes.subarray(0, at + how.length), bytes.subarray(at)]));
    }
  }
}

describe.each(DECODERS)('%s', (_, sample, decode) => {
  it('is read as it is', () => {
    expect(() => decode(sample)).not.toThrow();
  });

  it('is read or refused when it is damaged', () => {
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (ways) => {
        try {
          decode(ways.reduce(damaged, sample));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('is read from a Buffer and from a view as from bytes of its own', () => {
    const wide = new Uint8Array(sample.length + 64).fill(0xee);
    wide.set(sample, 32);
    const plain = decode(sample);
    expect(decode(wide.subarray(32, 32 + sample.length))).toEqual(plain);
    expect(decode(Buffer.from(sample))).toEqual(plain);
  });
});

it('JSON nested without end is refused', () => {
  for (const open of ['[', '{"a":', '[{"event":']) {
    const bomb = open.repeat(200_000);
    expect(() => parseLogJson(bomb)).toThrowError(DstackError);
    expect(() => parseLog(utf8(bomb), 'log')).toThrowError(DstackError);
    expect(() => checkDocument(bomb, local)).toThrowError(DstackError);
  }
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DstackError } from '../../src/errors.ts';
import { formatGatewayRecord, type GatewayRecord, parseGatewayRecord } from '../../src/net/gateway-record.ts';

const parse = (text: string) => parseGatewayRecord(new TextEncoder().encode(text), 'gateway.json');
const time = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const maybe = fc.option(time, { nil: undefined });
const outcome = fc.constantFrom('ok', 'KMS_TIMEOUT', 'GATEWAY_UNREACHABLE') as fc.Arbitrary<GatewayRecord['outcome']>;
const record: fc.Arbitrary<GatewayRecord> = fc.record({
  attemptedAt: time,
  registeredAt: maybe,
  failures: time,
  outcome,
  certNotAfter: maybe,
  kms: fc.option(fc.record({ at: time, outcome, succeededAt: maybe }), { nil: undefined }),
});

describe('the record of registrations', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(record, (one) => {
        expect(parse(formatGatewayRecord(one))).toEqual(one);
      }),
    );
  });
  it('is refused by field where it is damaged', () => {
    const good = { attempted_at: 1, failures: 0, outcome: 'ok' };
    expect(parse(JSON.stringify(good)).outcome).toBe('ok');
    for (const [change, field] of [
      [{ attempted_at: undefined }, 'attempted_at'],
      [{ attempted_at: 'soon' }, 'attempted_at'],
      [{ outcome: 'all <is> well' }, 'outcome'],
      [{ failures: -1 }, 'failures'],
      [{ kms: [] }, 'kms'],
    ] as const)
      expect(() => parse(JSON.stringify({ ...good, ...change }))).toThrow(expect.objectContaining({ field }));
  });
  it('never fails with anything else', () => {
    const text = fc.oneof(
      fc.string(),
      fc.json(),
      record.map(formatGatewayRecord).map((one) => one.slice(0, -3)),
    );
    fc.assert(
      fc.property(text, (one) => {
        try {
          parse(one);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(DstackError);
        }
      }),
    );
  });
});

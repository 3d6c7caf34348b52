import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decideChecker,
  initialState,
  type Observation,
  POLL_S,
  record,
  retryDelay,
  STALE_S,
} from '../../src/net/checker-decision.ts';
import vectors from '../vectors/gateway.json' with { type: 'json' };

/** Runs the checker against a world that answers for each second; every refresh succeeds unless told otherwise. */
function run(
  seconds: number,
  see: (now: number) => Observation,
  options: { succeeds?: (now: number) => boolean; spread?: () => number; staleAfter?: number } = {},
) {
  const { succeeds = () => true, spread = () => 0 } = options;
  let state = initialState(false, 0, spread());
  const forced: number[] = [];
  const periodic: number[] = [];
  for (let now = 0; now < seconds; now += POLL_S) {
    const decided = decideChecker(state, see(now), now, options.staleAfter);
    state = decided.state;
    if (decided.action === 'wait') continue;
    (decided.action === 'force' ? forced : periodic).push(now);
    state = record(state, decided.action === 'force', succeeds(now), now, spread());
  }
  return { forced, periodic };
}

/** The handshakes of the scenarios by name; the documented ones start with an empty state and a configuration. */
const HANDSHAKES: Record<string, (now: number) => number | undefined> = {
  'healthy handshakes': (now) => now,
  'never a handshake': () => undefined,
  'handshake frozen at start': () => 0,
  'handshakes until 180 s, then silent': (now) => Math.min(now, 180),
  'none until 540 s, then healthy': (now) => (now < 540 ? undefined : now),
};

describe('the decision of the gateway checker', () => {
  const counted = vectors.gateway_checker_scenarios.filter(({ forced }) => forced !== undefined);
  it.each(counted)('$name: $forced forced', ({ name, duration_s = 900, forced, periodic }) => {
    const handshake = HANDSHAKES[name];
    if (handshake === undefined) throw new Error(`unknown scenario ${name}`);
    const done = run(duration_s, (now) => ({ configured: true, handshake: handshake(now) }));
    expect(done.forced).toHaveLength(forced ?? -1);
    expect(done.periodic).toHaveLength(periodic ?? -1);
  });

  it.each([
    ['never a handshake', 4, undefined],
    ['none until 540 s, then healthy', 2, undefined],
  ])('%s: %i forced', (name, forced) => {
    const done = run(900, (now) => ({ configured: true, handshake: HANDSHAKES[name]?.(now) }));
    expect(done.forced).toHaveLength(forced);
  });

  it('resumes the periodic refresh once handshakes are back', () => {
    const { periodic } = run(900, (now) => ({ configured: true, handshake: now < 540 ? undefined : now }));
    expect(periodic.filter((now) => now >= 540).length).toBeGreaterThan(0);
  });

  it('tries without a configuration at once, then after the documented waits', () => {
    const { forced, periodic } = run(500, () => ({ configured: false, handshake: undefined }), {
      succeeds: () => false,
    });
    expect(periodic).toEqual([]);
    const delays = vectors.gateway_checker_scenarios.flatMap(({ delays_s }) => delays_s ?? []);
    expect(forced.slice(1, 5).map((now, i) => now - (forced[i] ?? 0))).toEqual(delays);
    expect(retryDelay({ failures: 0, spread: 0 })).toBe(30);
  });

  it('takes a configuration that is there at the start for an attempt made just now', () => {
    const seen = { configured: true, handshake: 100 };
    expect(decideChecker(initialState(true, 100), seen, 100).action).toBe('wait');
    expect(decideChecker(initialState(false, 100), seen, 100).action).toBe('refresh');
  });

  it('forgets a missing handshake only when one is seen, or the configuration goes', () => {
    let state = initialState(true, 0);
    state = decideChecker(state, { configured: true, handshake: undefined }, 0).state;
    state = record(state, true, true, 50);
    expect(decideChecker(state, { configured: true, handshake: undefined }, 180).state.missingSince).toBe(0);
    expect(decideChecker(state, { configured: true, handshake: 170 }, 180).state.missingSince).toBeUndefined();
    expect(decideChecker(state, { configured: false, handshake: undefined }, 180).state.missingSince).toBeUndefined();
  });

  it('looks early, once and without force, at a tunnel whose handshake is older than one that works ever is', () => {
    const silent = (now: number) => ({ configured: true, handshake: Math.min(now, 300) });
    const plain = run(900, silent, { spread: () => 0.5 });
    const early = run(900, silent, { spread: () => 0.5, staleAfter: STALE_S });
    expect(early.periodic.filter((now) => !plain.periodic.includes(now))).toEqual([450]);
    expect(early.forced).toEqual(plain.forced);
    // one that worked is left alone
    const working = (now: number) => ({ configured: true, handshake: Math.max(0, now - 145) });
    expect(run(900, working, { staleAfter: STALE_S })).toEqual(run(900, working));
  });

  it('with jitter only ever waits longer, and never more than half again', () => {
    const seen = fc.record({
      configured: fc.boolean(),
      handshake: fc.option(fc.integer({ min: 0, max: 2000 }), { nil: undefined }),
    });
    const states = fc.record({
      lastAttempt: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: undefined }),
      lastForce: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: undefined }),
      missingSince: fc.option(fc.integer({ min: 0, max: 1000 }), { nil: undefined }),
      failures: fc.nat(40),
      spread: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(states, seen, fc.integer({ min: 1000, max: 3000 }), (state, observed, now) => {
        const plain = decideChecker({ ...state, spread: 0 }, observed, now).action;
        const spread = decideChecker(state, observed, now).action;
        if (spread !== 'wait') expect(spread).toBe(plain);
        // after half of the wait again, nobody waits any more
        if (plain !== 'wait' && spread === 'wait') {
          const last = observed.configured && plain === 'force' ? state.lastForce : state.lastAttempt;
          const base = observed.configured ? 180 : retryDelay({ ...state, spread: 0 });
          expect(now - (last ?? now)).toBeLessThan(base * 1.5);
        }
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decideRestart, farewell, lastFailure, MAX_RESTARTS } from '../../src/boot/after-failure.ts';
import type { PhaseRecord } from '../../src/config/timeline-file.ts';
import { ERRORS } from '../../src/errors.ts';

const record = (outcome: PhaseRecord['outcome'], error?: string): PhaseRecord => ({
  sequence: 'setup',
  phase: 'request app keys',
  start: '2026-01-01T00:00:00Z',
  durationMs: 1,
  events: [],
  outcome,
  ...(error === undefined ? {} : { error }),
});
const failure = (code: string | undefined) => ({ phase: 'setup: x', text: `no [${code}]`, code });

describe('lastFailure', () => {
  it('finds phase, text and code of the last failed phase', () => {
    const records = [
      record('failed', 'first [KMS_TIMEOUT]'),
      record('done'),
      record('failed', 'no KMS [KMS_UNREACHABLE]'),
    ];
    expect(lastFailure(records)).toEqual({
      phase: 'setup: request app keys',
      text: 'no KMS [KMS_UNREACHABLE]',
      code: 'KMS_UNREACHABLE',
    });
  });

  it('knows no code where the process was killed', () => {
    expect(lastFailure([record('done')])).toMatchObject({ phase: undefined, code: undefined });
  });
});

describe('decideRestart', () => {
  it('restarts three times, then stops', () => {
    const unreachable = failure('KMS_UNREACHABLE');
    expect([0, 1, 2].map((count) => decideRestart(unreachable, count))).toEqual([
      { action: 'restart', restart: 1 },
      { action: 'restart', restart: 2 },
      { action: 'restart', restart: 3 },
    ]);
    expect(decideRestart(unreachable, 3)).toEqual({ action: 'stop', why: '3 restarts in a row did not help' });
  });

  it('never restarts for what only a person can mend, or what cannot be counted', () => {
    for (const code of ['DISK_NOT_BLANK', 'JSON_INVALID', 'MANIFEST_UNSUPPORTED', 'LUKS_KEY_WRONG', 'TEE_NOT_FOUND'])
      expect(decideRestart(failure(code), 0)).toEqual({ action: 'stop', why: 'a restart does not repair this' });
    expect(decideRestart(failure('KMS_UNREACHABLE'), undefined).action).toBe('stop');
  });

  it('restarts for a killed process and for every code that says a retry may help', () => {
    expect(decideRestart(failure(undefined), 0).action).toBe('restart');
    for (const [code, { retry }] of Object.entries(ERRORS))
      if (retry) expect(decideRestart(failure(code), 2).action).toBe('restart');
  });

  it('property: whatever fails, a chain of boots ends after at most three restarts', () => {
    const codes = fc.constantFrom(...Object.keys(ERRORS), 'CODE_OF_TOMORROW', undefined);
    fc.assert(
      fc.property(fc.array(codes, { minLength: 10, maxLength: 10 }), (fates) => {
        let [count, restarts] = [0, 0];
        for (const code of fates) {
          const decision = decideRestart(failure(code), count);
          if (decision.action === 'stop') break;
          count = decision.restart;
          restarts += 1;
        }
        expect(restarts).toBeLessThanOrEqual(MAX_RESTARTS);
      }),
    );
  });
});

describe('farewell', () => {
  it('ends with what happens, after the reason and its hint', () => {
    const why = failure('KMS_UNREACHABLE');
    expect(farewell(why, decideRestart(why, 1))).toEqual([
      'the boot failed in setup: x: no [KMS_UNREACHABLE]',
      `hint: ${ERRORS.KMS_UNREACHABLE.hint}`,
      'restarting, 2 of at most 3 times',
    ]);
    expect(farewell(why, decideRestart(why, 3)).at(-1)).toContain('stopping: 3 restarts in a row did not help');
  });
});

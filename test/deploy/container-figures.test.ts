import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseState, parseUsage } from '../../src/deploy/container-figures.ts';

describe('parseState', () => {
  it('reads an inspect answer', () => {
    expect(
      parseState({
        RestartCount: 2,
        Config: { Tty: true },
        State: {
          ExitCode: 137,
          OOMKilled: true,
          StartedAt: '2026-01-01T00:00:00.123456789Z',
          Health: { Status: 'starting' },
        },
      }),
    ).toEqual({
      health: 'starting',
      restarts: 2,
      startedAt: Date.UTC(2026, 0, 1) + 123,
      exitCode: 137,
      outOfMemory: true,
      terminal: true,
    });
  });
  it('knows no health and no start where there is none', () => {
    const state = parseState({ State: { StartedAt: '0001-01-01T00:00:00Z', Health: { Status: 'none' } } });
    expect(state).toMatchObject({ health: undefined, startedAt: undefined, restarts: undefined, outOfMemory: false });
  });
});

describe('parseUsage', () => {
  it('counts memory as docker stats does, for both versions of control groups', () => {
    const usage = (stats: Record<string, number>) =>
      parseUsage({
        cpu_stats: { cpu_usage: { total_usage: 2.5e9 } },
        memory_stats: { usage: 1000, limit: 5000, stats },
      });
    expect(usage({ inactive_file: 300 })).toMatchObject({ cpuSeconds: 2.5, memory: 700, memoryLimit: 5000 });
    expect(usage({ total_inactive_file: 400 }).memory).toBe(600);
    expect(usage({}).memory).toBe(1000);
    expect(usage({ inactive_file: 4000 }).memory).toBe(0);
  });
  it('adds up the networks', () => {
    const networks = { eth0: { rx_bytes: 1, tx_bytes: 10 }, eth1: { rx_bytes: 2, tx_bytes: 20 } };
    expect(parseUsage({ networks })).toMatchObject({ receivedBytes: 3, sentBytes: 30 });
  });
  it('knows nothing of a container that does not run', () => {
    const stopped = { cpu_stats: { cpu_usage: { total_usage: 0 } }, memory_stats: {} };
    expect(Object.values(parseUsage(stopped)).filter((value) => value !== undefined)).toEqual([]);
  });
});

it('takes any JSON without a fault', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const figure of [...Object.values(parseState(value)), ...Object.values(parseUsage(value))])
        expect(['undefined', 'number', 'string', 'boolean']).toContain(typeof figure);
    }),
  );
});

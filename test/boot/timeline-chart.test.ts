import { execFileSync, spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { timelineSvg, timelineText } from '../../src/boot/timeline-chart.ts';
import type { PhaseRecord } from '../../src/config/timeline-file.ts';

const record = (phase: string, at: number, durationMs: number, more: Partial<PhaseRecord> = {}): PhaseRecord => ({
  sequence: 'setup',
  phase,
  start: new Date(Date.UTC(2026, 0, 2) + at).toISOString(),
  durationMs,
  events: [],
  outcome: 'done',
  ...more,
});

const BOOT = [
  record('find the TEE device', 0, 100, { sequence: 'prepare' }),
  record('wait for secure time', 100, 0, { outcome: 'skipped' }),
  record('measure the app', 200, 300, { events: [{ name: 'app-id', digest: 'ab'.repeat(48) }] }),
  record('open the data disk', 500, 1500, { outcome: 'failed', error: 'wrong key [LUKS_KEY_WRONG]' }),
];

describe('timeline as text', () => {
  it('shows every phase that ran, its events and its failure', () => {
    expect(timelineText(BOOT, { columns: 80 })).toBe(
      [
        'boot of 2026-01-02 00:00:00 UTC, 2.0 s from the first phase to the end of the last',
        'prepare  find the TEE device   100 ms  █▉',
        'setup    measure the app       300 ms     █████▊',
        '         + app-id abababababababab…',
        'setup    open the data disk     1.5 s           ████████████████████████████▌',
        '         ! wrong key [LUKS_KEY_WRONG]',
        'time inside the phases: prepare 100 ms, setup 1.8 s',
      ].join('\n'),
    );
  });

  it('shows what a phase said', () => {
    const notes = ['the platform of the KMS is OutOfDate\n'];
    expect(timelineText([record('obtain the keys', 0, 10, { notes })], { columns: 80 }).split('\n')[2]).toBe(
      '       = the platform of the KMS is OutOfDate\\n',
    );
  });

  it('marks what became slower or faster, and not what stayed about the same', () => {
    const now = [record('a', 0, 1000), record('b', 1000, 400), record('c', 1400, 1000)];
    const before = [record('a', 0, 1060), record('b', 0, 1000), record('c', 0, 100)];
    const lines = timelineText(now, { columns: 60, before }).split('\n');
    expect(lines[1]).toMatch(/[▏▎▍▌▋▊▉█]$/);
    expect(lines[2]).toMatch(/ -600 ms$/);
    expect(lines[3]).toMatch(/ \+900 ms$/);
  });

  it('says so when nothing was recorded', () => expect(timelineText([], { columns: 80 })).toMatch(/no phase/));

  it('keeps control characters of a foreign text away from the terminal, and every bar inside the width', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.string(), fc.nat(100_000), fc.nat(100_000)), { minLength: 1 }),
        fc.integer({ min: 90, max: 200 }),
        (phases, columns) => {
          const text = timelineText(
            phases.map(([name, at, ms]) => record(name, at, ms)),
            { columns },
          );
          expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
          for (const line of text.split('\n').slice(1, -1)) expect(line.length).toBeLessThanOrEqual(columns);
        },
      ),
    );
  });
});

describe('timeline as a picture', () => {
  const hasLint = spawnSync('xmllint', ['--version']).status === 0;

  it('has a bar for every phase that ran and names the measured events', () => {
    const svg = timelineSvg(BOOT);
    expect(svg.match(/<rect /g)).toHaveLength(3);
    expect(svg).toContain(`app-id ${'ab'.repeat(48)}`);
    expect(svg).toContain('class="failed"');
  });

  it('escapes what it shows', () => {
    expect(timelineSvg([record('<script>"&\u0000', 0, 1)])).toContain('setup: &lt;script&gt;&quot;&amp;\\x00</text>');
  });

  it.skipIf(!hasLint)('is well-formed', () => {
    execFileSync('xmllint', ['--noout', '-'], { input: timelineSvg([...BOOT, record('a & <b>', 5, 1)]) });
  });

  it('is a picture without bars for an empty boot', () => expect(timelineSvg([])).not.toContain('<rect '));
});

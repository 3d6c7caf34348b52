import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keepTimeline, readTimelines, rotateTimeline } from '../../src/boot/timeline-store.ts';
import { parseTimeline } from '../../src/config/timeline-file.ts';

let disk: string;
let path: string;
beforeEach(() => {
  disk = mkdtempSync(join(tmpdir(), 'timeline-'));
  path = join(disk, 'boot.jsonl');
});
afterEach(() => rmSync(disk, { recursive: true }));

const line = (phase: string): string =>
  `${JSON.stringify({ sequence: 'setup', phase, start: '2026-01-02T03:04:05.000Z', durationMs: 1, events: [], outcome: 'done' })}\n`;
const names = async () => {
  const { current, previous } = await readTimelines({ path, mountPoint: disk });
  return [current.map(({ phase }) => phase), previous.map(({ phase }) => phase)];
};

describe('timelines of two boots', () => {
  it('keep this boot beside the one before, over three boots', async () => {
    for (const [phase, expected] of [
      ['first', []],
      ['second', ['first']],
      ['third', ['second']],
    ] as const) {
      writeFileSync(path, line(phase));
      await rotateTimeline(disk);
      await keepTimeline(disk, path);
      expect(await names()).toEqual([[phase], expected]);
    }
  });

  it('keep what deploy adds later in the same boot', async () => {
    writeFileSync(path, line('one'));
    await rotateTimeline(disk);
    await keepTimeline(disk, path);
    writeFileSync(path, line('one') + line('two'));
    await keepTimeline(disk, path);
    expect(readFileSync(join(disk, 'boot-timeline/last.jsonl'), 'utf8')).toBe(line('one') + line('two'));
    expect(await names()).toEqual([['one', 'two'], []]);
  });

  it('never fail a boot: no timeline, or a disk that cannot be written', async () => {
    await keepTimeline(disk, join(disk, 'missing'));
    writeFileSync(path, line('one'));
    await keepTimeline(join(path, 'below-a-file'), path);
    await rotateTimeline('/nowhere');
  });

  it('skip a line that a power cut left behind, and what is no record', () => {
    const text = `${line('one')}{"sequence":"setup"}\nnull\n[]\n${line('two').slice(0, 40)}\n${line('three')}`;
    expect(parseTimeline(text).map(({ phase }) => phase)).toEqual(['one', 'three']);
  });

  it('read any text without throwing', () => {
    fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseTimeline(text))));
    fc.assert(fc.property(fc.json(), (text) => Array.isArray(parseTimeline(text))));
  });
});

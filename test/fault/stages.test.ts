import { expect, it } from 'vitest';
import { newGpt } from '../../src/fde/gpt.ts';
import { MOMENTS, StageTracker } from './stages.ts';

const MIB = 1024 * 1024;
const SIZE = 96 * MIB;

it('names the steps of a first boot', () => {
  const tracker = new StageTracker(SIZE);
  const at = (place: number, length = 4096): string =>
    tracker.see({ flush: false, at: place, bytes: new Uint8Array(length) }).stage;
  expect([at(MIB - 4096), at(17 * MIB - 4096)]).toEqual(['claim', 'claim']);
  for (const { at: place, bytes } of newGpt(SIZE, 512, 'dstack-data').flat())
    expect(at(place, bytes.length)).toBe('table');
  expect([at(MIB, 294_912), at(17 * MIB), at(90 * MIB)]).toEqual(['header', 'file system', 'file system']);
  expect(at(17 * MIB - 4096)).toBe('ready');
  expect(tracker.see({ flush: true, at: 0, bytes: new Uint8Array() })).toEqual({ stage: 'ready', flush: true });
  expect(MOMENTS).toHaveLength(10);
});

import { expect, it } from 'vitest';
import { parseRfc3339 } from '../../src/codec/rfc3339.ts';

it.each([
  ['2026-01-31T12:00:00Z', Date.UTC(2026, 0, 31, 12)],
  ['2026-01-31 12:00:00.5+01:00', Date.UTC(2026, 0, 31, 11, 0, 0, 500)],
  ['2026-01-31', undefined],
  ['2026-01-31T12:00:00', undefined],
  ['2026-13-31T12:00:00Z', undefined],
  ['1769860800000', undefined],
  ['', undefined],
])('%s is %s', (text, time) => {
  expect(parseRfc3339(text)).toBe(time);
});

/** What is coloured in a result: marks and verdicts, never text that others wrote. */
import { afterEach, beforeAll, expect, it, vi } from 'vitest';
import { loadColours, paint, paintMatch } from '../../src/colour.ts';

beforeAll(async () => {
  vi.stubEnv('FORCE_COLOR', '1');
  vi.stubEnv('NO_COLOR', '');
  vi.stubEnv('JOURNAL_STREAM', undefined);
  await loadColours();
});
afterEach(() => vi.unstubAllEnvs());

it('paints the group that matched and leaves the rest', () => {
  expect(paintMatch('  ok   quote', /^ {2}(ok)(?= )|^verdict +(valid)/, 'good')).toBe(
    '  \u001b[32mok\u001b[39m   quote',
  );
  expect(paintMatch('verdict     valid', /^ {2}(ok)(?= )|^verdict +(valid)/, 'good')).toBe(
    'verdict     \u001b[32mvalid\u001b[39m',
  );
  expect(paintMatch('app  ok', /^ {2}(ok)(?= )/, 'good')).toBe('app  ok');
  expect(paint('stderr', 'faint', 'x')).toBe('\u001b[2mx\u001b[22m');
});

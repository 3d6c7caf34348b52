/**
 * The same evidence gives the same report: in the program, and in the built library under Node, under Bun and in Chromium, each
 * with no more than the globals of the web.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildVerifyLibrary } from '../../packages/verify/build.ts';
import { CHROMIUM, launch, REASON } from '../agent/page/browser.ts';
import { type EvidenceFixture, evidenceFixtures, realFixtures } from './fixtures.ts';
import { callOf, libraryAnswers, programReports } from './judges.ts';

/** The whole table, in one process each; the machine may be busy. */
const LIMIT = 300_000;

let dir: string;
let module: string;
let fixtures: EvidenceFixture[];
let program: string[];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'verify-library-'));
  ({ module } = buildVerifyLibrary(join(dir, 'library')));
  fixtures = [...(await evidenceFixtures()), ...realFixtures()];
  program = await programReports(fixtures, join(dir, 'program'));
}, LIMIT);
afterAll(() => rmSync(dir, { recursive: true, force: true }), LIMIT);

/** Compares one after the other, so that the first difference is named. */
function expectSame(found: readonly string[]): void {
  expect(found).toHaveLength(fixtures.length);
  for (const [index, { name }] of fixtures.entries()) {
    expect(JSON.parse(found[index] ?? ''), name).toEqual(JSON.parse(program[index] ?? ''));
    expect(found[index], `${name}: the order of members`).toBe(program[index]);
  }
}

describe('the same evidence gives the same report', () => {
  it('the table has evidence that is valid and evidence that is not, and each is what it should be', () => {
    const verdicts = fixtures.map(({ name, good }, index) => {
      const { verdict } = JSON.parse(program[index] ?? '') as { verdict: string };
      return { name, good, valid: verdict === 'valid' };
    });
    expect(verdicts.filter(({ good, valid }) => good !== valid)).toEqual([]);
    expect(verdicts.filter(({ good }) => good).length).toBeGreaterThan(12);
    expect(verdicts.filter(({ good }) => !good).length).toBeGreaterThan(30);
  });

  it.each(['node', 'bun'] as const)(
    'as the program: the library under %s',
    async (runtime) => expectSame(await libraryAnswers(runtime, module, fixtures.map(callOf))),
    LIMIT,
  );

  it.skipIf(CHROMIUM === undefined)(
    `as the program: the library in Chromium${REASON}`,
    async () => {
      const browser = await launch();
      try {
        const page = await browser.newPage();
        // as text, so that nothing of the test runner gets in
        const runner = readFileSync('test/verify-library/run-all.mjs', 'utf8').replace(
          'export async function',
          'async function',
        );
        const source = readFileSync(module).toString('base64');
        const calls = JSON.stringify(fixtures.map(callOf));
        const found = await page.evaluate<string[]>(
          `(async () => { ${runner}\nreturn runAll(await import('data:text/javascript;base64,${source}'), ${calls}); })()`,
        );
        expectSame(found);
      } finally {
        await browser.close();
      }
    },
    LIMIT,
  );
});

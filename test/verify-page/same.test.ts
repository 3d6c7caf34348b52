/**
 * The page gives the report of the program over the whole table of evidence that the library is tried with: the same files,
 * dropped on the page in a real browser, and named to `dstack-util verify`.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReportJson } from '../../packages/verify-page/script/report.ts';
import { CHROMIUM, launch, REASON } from '../agent/page/browser.ts';
import { type EvidenceFixture, evidenceFixtures, realFixtures } from '../verify-library/fixtures.ts';
import { programReports } from '../verify-library/judges.ts';
import { type FileSet, judgeInPage, makeFolder, makePage, openFile, writeFiles } from './scene.ts';

/** The table, a page for each row; the machine may be busy. */
const LIMIT = 600_000;

/** The demands of a fixture as one expectation file, which is what the page takes; undefined where it cannot say them. */
function expectationFile({ demands }: EvidenceFixture): Record<string, unknown> | undefined {
  if (demands.image !== undefined) return undefined; // a folder cannot be dropped
  if (demands.expectations !== undefined) return demands.expectations as Record<string, unknown>;
  const app: Record<string, unknown> = {};
  const image: Record<string, unknown> = {};
  const events: Record<string, string> = {};
  let reportData: string | undefined;
  for (const pin of demands.expect ?? []) {
    const [name = '', value = ''] = pin.split('=');
    if (name === 'app-id' || name === 'compose-hash') app[name.replace('-', '_')] = value;
    else if (name === 'os-image-hash') image['os_image_hash'] = value;
    else if (name === 'report-data') reportData = value;
    else if (name.startsWith('event ')) events[name.slice('event '.length)] = value;
    else throw new Error(`${name} has no place in an expectation file`);
  }
  if (demands.prediction !== undefined) app['events'] = (demands.prediction as { events: unknown }).events;
  if (demands.measurement !== undefined) {
    image['measurement'] = {
      document: Buffer.from(demands.measurement.document).toString('base64'),
      checksums: Buffer.from(demands.measurement.checksums).toString('utf8'),
    };
  }
  const some = (object: object) => Object.keys(object).length > 0;
  return {
    version: 1,
    ...(demands.anyApp ? { app: 'any' } : some(app) ? { app } : {}),
    ...(some(image) ? { image } : {}),
    ...(some(events) ? { events } : {}),
    ...(demands.root === undefined ? {} : { root: { pem: demands.root } }),
    ...(demands.allowTcb === undefined ? {} : { tcb: { allowed_statuses: demands.allowTcb } }),
    ...(reportData === undefined ? {} : { report_data: reportData }),
    ...(demands.allowUnencryptedStorage ? { storage: 'any' } : {}),
  };
}

/** The files of a fixture for the page, and the same fixture for the program. */
interface Row {
  readonly fixture: EvidenceFixture;
  readonly files: FileSet;
}

function rowOf(fixture: EvidenceFixture): Row | undefined {
  const { name, evidence, good, demands } = fixture;
  const expectations = expectationFile(fixture);
  // the page tells files apart by their content: such a file is nothing to it
  if (expectations === undefined || name === 'collateral that is none') return undefined;
  const { at, collateral, root, eventLog } = demands;
  const log = eventLog === undefined ? {} : { eventLog };
  return {
    fixture: { name, evidence, good, demands: { at, collateral, root, expectations, ...log } },
    files: {
      evidence,
      'expectations.json': JSON.stringify(expectations),
      'collateral.json': JSON.stringify(collateral),
      ...(eventLog === undefined ? {} : { 'log.json': JSON.stringify(eventLog) }),
    },
  };
}

describe.skipIf(CHROMIUM === undefined)(`the same evidence gives the same report on the page${REASON}`, () => {
  let browser: Browser;
  let dir: string;
  let file: string;
  let rows: Row[];
  let all: number;
  let program: string[];
  beforeAll(async () => {
    dir = makeFolder();
    const fixtures = [...(await evidenceFixtures()), ...realFixtures()];
    all = fixtures.length;
    rows = fixtures.map(rowOf).filter((row) => row !== undefined);
    [file, program, browser] = await Promise.all([
      makePage(dir),
      programReports(
        rows.map(({ fixture }) => fixture),
        join(dir, 'program'),
      ),
      launch(),
    ]);
  }, LIMIT);
  afterAll(async () => {
    await browser?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it(
    'as the program, over the whole table but image folders',
    async () => {
      expect(all - rows.length).toBeLessThanOrEqual(6);
      const verdicts = new Set<string>();
      for (const [index, { fixture, files }] of rows.entries()) {
        const { page, complaints } = await openFile(browser, file, { width: 1280, theme: 'light' });
        const paths = writeFiles(join(dir, `row-${index}`), files);
        const expected = JSON.parse(program[index] ?? '') as ReportJson;
        if (expected.input.form === null) {
          // what is no evidence at all is a sentence on the page, and no verdict
          await page.getByLabel('Judge as of').fill(fixture.demands.at);
          await page.locator('#files').setInputFiles(paths);
          await page.locator('#complaint:not(:empty)').waitFor();
          expect(await page.locator('#result #verdict').count(), fixture.name).toBe(0);
        } else {
          const report = await judgeInPage(page, paths, fixture.demands.at);
          const text = JSON.stringify(report)
            .replaceAll('"collateral.json', '"collateral as given')
            .replaceAll('expectations.json', 'expectations as given');
          expect(JSON.parse(text), fixture.name).toEqual(expected);
          verdicts.add(report.verdict);
        }
        expect(complaints, fixture.name).toEqual([]);
        await page.context().close();
      }
      expect([...verdicts].toSorted()).toEqual(['invalid', 'unchecked', 'valid']);
    },
    LIMIT,
  );
});

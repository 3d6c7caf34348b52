/** The page as one file, opened in chromium without a network, and evidence of the simulator to drop on it. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import type { ReportJson } from '../../packages/verify-page/script/report.ts';
import { type Look, screenshot } from '../agent/page/browser.ts';

const run = promisify(execFile);
const BUN = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');

/** Builds the page as `npm run verify-page -- --out` does. @returns its path */
export async function makePage(dir: string): Promise<string> {
  const file = join(dir, 'verify.html');
  await run(BUN, ['scripts/verify-page.ts', '--out', file]);
  return file;
}

export const makeFolder = (): string => mkdtempSync(join(tmpdir(), 'verify-page-'));

/** Files by name, as a person has them. */
export type FileSet = Readonly<Record<string, Uint8Array | string>>;

export function writeFiles(dir: string, files: FileSet): string[] {
  mkdirSync(dir, { recursive: true });
  return Object.entries(files).map(([name, content]) => {
    const path = join(dir, name);
    writeFileSync(path, content);
    return path;
  });
}

/** For a machine that is busy with other tests. */
const PATIENCE_MS = 120_000;

export interface Opened {
  readonly page: Page;
  /** what the browser complains about, and every request beyond the file itself */
  readonly complaints: string[];
}

/** Opens the file as one of the looks, offline. */
export async function openFile(browser: Browser, file: string, { width, theme }: Look): Promise<Opened> {
  const context = await browser.newContext({
    viewport: { width, height: 844 },
    colorScheme: theme,
    isMobile: width < 500,
    hasTouch: width < 500,
  });
  await context.setOffline(true);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const url = pathToFileURL(file).href;
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`console ${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (request.url() !== url && !request.url().startsWith('data:')) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(url, { waitUntil: 'load' });
  return { page, complaints };
}

/** Gives files to the page and waits for its verdict. @param at RFC 3339, default now */
export async function judgeInPage(page: Page, paths: readonly string[], at?: string): Promise<ReportJson> {
  if (at !== undefined) await page.getByLabel('Judge as of').fill(at);
  // what was shown before must not be taken for the new result
  await page.evaluate('document.querySelector("#result").replaceChildren()');
  await page.locator('#files').setInputFiles([...paths]);
  await page.locator('#result #verdict').waitFor({ state: 'visible' });
  return JSON.parse((await page.locator('#json').textContent()) ?? '') as ReportJson;
}

/** What `dstack-util verify --json` prints, run beside the files so that their names are the same. */
export async function judgeByProgram(dir: string, args: readonly string[], home = dir): Promise<unknown> {
  const argv = [resolve('bin/dstack-util.ts'), 'verify', ...args, '--json'];
  // no collateral of an earlier day from the cache of whoever runs the tests
  const env = { NO_COLOR: '1', HOME: resolve(home), PATH: process.env['PATH'] ?? '' };
  try {
    return JSON.parse((await run(BUN, argv, { cwd: dir, env })).stdout);
  } catch (thrown) {
    // a verdict that is not valid ends with a status of its own
    return JSON.parse((thrown as { stdout: string }).stdout);
  }
}

export const shot = (page: Page, name: string): Promise<void> => screenshot(page, `verify-${name}`);
export const scrollWidth = (page: Page): Promise<number> => page.evaluate('document.documentElement.scrollWidth');

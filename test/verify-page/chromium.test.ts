/** The verification page in a real browser, from a file and without a network. Screenshots stay in .cache/test/page. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkWords } from '../../packages/verify-page/script/words.ts';
import { CHROMIUM, type Look, launch, REASON } from '../agent/page/browser.ts';
import { weakContrasts } from '../agent/page/contrast.ts';
import { AT, CASES, EXPECTED_APP, filesOf, HOSTILE } from './fixtures.ts';
import { judgeByProgram, judgeInPage, makeFolder, makePage, openFile, scrollWidth, shot, writeFiles } from './scene.ts';

const DESKTOP: Look = { width: 1280, theme: 'light' };
const LOOKS: readonly Look[] = [1280, 390].flatMap((width) =>
  (['light', 'dark'] as const).map((theme) => ({ width, theme })),
);
const REAL = ['../shared/data/tdx_quote.bin', '../shared/data/tdx_quote_collateral.json'];
const REAL_AT = '2025-07-01T00:00:00Z';
const missing = REAL.every((path) => existsSync(path)) ? undefined : `${REAL.join(', ')} are not there`;

const caseOf = (name: string) => filesOf(CASES.find((each) => each.name === name) ?? (CASES[0] as (typeof CASES)[0]));

describe.skipIf(CHROMIUM === undefined)(`the verification page in chromium${REASON}`, { timeout: 240_000 }, () => {
  let browser: Browser;
  let dir: string;
  let file: string;
  beforeAll(async () => {
    dir = makeFolder();
    file = await makePage(dir);
    browser = await launch();
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    rmSync(dir, { recursive: true, force: true });
  });

  let count = 0;
  /** Writes the files of a case into a folder of its own. */
  const written = (name: string) => {
    const { files, args } = caseOf(name);
    const folder = join(dir, `case-${++count}`);
    return { folder, paths: writeFiles(folder, files), args };
  };
  const closed = async (page: Page): Promise<void> => page.context().close();

  describe('same evidence, same result in program and page', () => {
    it.each(CASES)('of $name', async ({ name, verdict }) => {
      const { folder, paths, args } = written(name);
      const { page, complaints } = await openFile(browser, file, DESKTOP);
      const report = await judgeInPage(page, paths, AT);
      expect(report).toEqual(await judgeByProgram(folder, args));
      expect(report.verdict).toBe(verdict);
      // every check has plain words, not only its name
      expect(report.checks.filter((check) => checkWords(check.name) === check.name)).toEqual([]);
      expect(await page.locator('#result').getAttribute('data-verdict')).toBe(verdict);
      expect(complaints).toEqual([]);
      await closed(page);
    });
  });

  it.skipIf(missing !== undefined)(
    `judges a quote of a real machine offline (${missing ?? 'Intel’s root'})`,
    async () => {
      const { page, complaints } = await openFile(browser, file, DESKTOP);
      const report = await judgeInPage(page, REAL, REAL_AT);
      expect(report.proof.machine).toMatchObject({ state: 'proven', root: { intel: true } });
      expect(report.verdict).toBe('unchecked'); // nobody said which app
      expect(await page.locator('#verdict').textContent()).toBe('Not proven');
      expect(await page.locator('svg.chain').getAttribute('aria-label')).toContain('Root certificate: Intel’s own');
      const program = await judgeByProgram('.', [REAL[0] ?? '', '--collateral', REAL[1] ?? '', '--at', REAL_AT], dir);
      expect(report.checks.filter(({ name }) => name !== 'collateral')).toEqual(
        (program as typeof report).checks.filter(({ name }) => name !== 'collateral'),
      );
      expect(complaints).toEqual([]);
      await shot(page, 'real');
      await closed(page);
    },
  );

  it.each(LOOKS)('is whole, quiet and readable at $width px in $theme', async (look) => {
    const { page, complaints } = await openFile(browser, file, look);
    expect(await scrollWidth(page)).toBe(look.width);
    for (const name of ['hostile names', 'another kernel']) {
      await judgeInPage(page, written(name).paths, AT);
      await page.evaluate('document.querySelectorAll("details").forEach((each) => { each.open = true })');
      expect(await scrollWidth(page)).toBe(look.width);
      expect(await weakContrasts(page)).toEqual([]);
      await shot(page, `${name.replaceAll(' ', '-')}-${look.width}-${look.theme}`);
    }
    const dark = (await page.evaluate('getComputedStyle(document.body).backgroundColor')) === 'rgb(14, 17, 21)';
    expect(dark).toBe(look.theme === 'dark');
    expect(complaints).toEqual([]);
    await closed(page);
  });

  it('says what is proven, under whose root, and what nobody checked', async () => {
    const { page } = await openFile(browser, file, DESKTOP);
    const report = await judgeInPage(page, written('a guest of the app and image').paths, AT);
    expect(await page.locator('#verdict').textContent()).toBe(
      'Valid under Mock Intel SGX Root CA, which is NOT Intel’s root',
    );
    expect(await page.locator('.parts .state').allTextContents()).toEqual([
      '✓ proven',
      '✓ proven',
      '✓ proven',
      '? not proven',
    ]);
    expect(await page.locator('.bullets li').allTextContents()).toEqual(report.not_proven);
    expect(report.not_proven.join()).toMatch(/Mock Intel SGX Root CA.*ACPI/s);
    expect(await page.locator('.checks li').count()).toBe(report.checks.length);
    // every event of every register, with its digest and the register behind it
    const events = [...report.firmware_events, ...report.events];
    expect(events.length).toBeGreaterThan(25);
    const shown = (await page.locator('.events li').allTextContents()).map((text) => text.replaceAll(/\s+/g, ''));
    expect(shown).toHaveLength(events.length);
    for (const [at, event] of events.entries()) {
      expect(shown[at]).toContain(event.digest);
      expect(shown[at]).toContain('rtmr3' in event ? event.rtmr3 : event.value);
    }
    await closed(page);
  });

  it('shows freshness with a number of one’s own, and asks for it where the expectations demand it', async () => {
    const { page } = await openFile(browser, file, DESKTOP);
    const { folder, paths } = written('an attestation');
    const demanding = writeFiles(folder, {
      'expect.json': JSON.stringify({ ...EXPECTED_APP, report_data: 'required' }),
    });
    await page
      .locator('#files')
      .setInputFiles([...paths.filter((path) => !path.endsWith('expect.json')), ...demanding]);
    await page.locator('#complaint').waitFor({ state: 'visible' });
    expect(await page.locator('#complaint').textContent()).toContain('“Your number”');
    await page.getByLabel('Your number').fill('77'.repeat(64));
    const report = await judgeInPage(page, [], AT);
    expect(report.proof.fresh.state).toBe('proven');
    await closed(page);
  });

  it('names what drifts, and opens its register', async () => {
    const { page } = await openFile(browser, file, DESKTOP);
    await judgeInPage(page, written('another app').paths, AT);
    expect(await page.locator('#verdict').textContent()).toMatch(/^Refused/);
    expect(await page.locator('.parts li').nth(2).textContent()).toMatch(/^App✗ contradicted/);
    await judgeInPage(page, written('another kernel').paths, AT);
    expect(await page.locator('.parts li').nth(1).textContent()).toMatch(/^System✗ contradicted/);
    const register = page.locator('details.events-of', { hasText: 'RTMR1' });
    expect(await register.getAttribute('open')).toBe('');
    expect(await register.locator('li', { has: page.locator('.badge.bad') }).allTextContents()).toEqual([
      expect.stringMatching(/^1kernelthe kerneldrift/),
    ]);
    await closed(page);
  });

  it('shows hostile names as text and makes nothing of them', async () => {
    const { page, complaints } = await openFile(browser, file, DESKTOP);
    await judgeInPage(page, written('hostile names').paths, AT);
    const last = page.locator('.events li').last();
    expect(await last.locator('.name').textContent()).toBe(HOSTILE);
    expect(await last.textContent()).toContain('3c7363726970743e'); // <script>, in hex: it is not plain text
    expect(await page.locator('img, #result script').count()).toBe(0);
    expect(complaints).toEqual([]);
    await closed(page);
  });

  it('says where collateral comes from, and fetches nothing', async () => {
    const { page, complaints } = await openFile(browser, file, DESKTOP);
    const paths = written('an attestation').paths.filter((path) => !path.includes('collateral'));
    const report = await judgeInPage(page, paths, AT);
    expect(report.verdict).toBe('unchecked');
    expect(await page.locator('#collateral-title').textContent()).toBe('Collateral is missing');
    expect(await page.locator('main').textContent()).toContain('dstack-util verify EVIDENCE --collateral https://');
    expect(complaints).toEqual([]);
    await closed(page);
  });

  it('opens no connection, whatever runs in it', async () => {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(request.url ?? '');
      response.setHeader('access-control-allow-origin', '*').end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const { page } = await openFile(browser, file, DESKTOP);
    await page.context().setOffline(false);
    const tried = await page.evaluate(
      `fetch('${url}').then(() => 'reached', (failure) => String(failure)).then((said) => new Promise((resolve) => {
        const image = new Image(); image.onload = image.onerror = () => resolve(said); image.src = '${url}image';
      }))`,
    );
    expect(tried).toMatch(/TypeError/);
    expect(seen).toEqual([]);
    await closed(page);
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([
    ['nonsense', 'nonsense.txt', 'hello', /nonsense\.txt: .*Drop a quote, an answer of the agent/],
    ['an empty file', 'empty.bin', '', /empty\.bin is empty\. Drop a quote/],
    ['expectations that are not', 'expect.json', '{"colour":"red"}', /expect\.json/],
    [
      'a root that is not one',
      'root.pem',
      '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      /root\.pem/,
    ],
    ['a time without a zone', undefined, '2026-03-01', /"2026-03-01" is not a time/],
  ])('says in a plain sentence what is wrong with %s', async (_, name, content, wanted) => {
    const { page, complaints } = await openFile(browser, file, DESKTOP);
    const paths = [
      ...written('an attestation').paths,
      ...(name === undefined ? [] : writeFiles(join(dir, 'bad'), { [name]: content })),
    ];
    if (name === undefined) await page.getByLabel('Judge as of').fill(content);
    await page.locator('#files').setInputFiles(paths);
    await page.locator('#complaint').waitFor({ state: 'visible' });
    expect(await page.locator('#complaint').textContent()).toMatch(wanted);
    expect(complaints).toEqual([]);
    await closed(page);
  });

  it('serves the keyboard and those who hear it', async () => {
    const { page } = await openFile(browser, file, DESKTOP);
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.id')).toBe('files');
    const { paths } = written('another app');
    await judgeInPage(page, paths, AT);
    const said = page.getByRole('status');
    expect(await said.getAttribute('aria-live')).toBe('polite');
    expect(await said.textContent()).toMatch(/^Verdict: Refused under Mock.* app contradicted/);
    expect(await page.getByRole('img').count()).toBe(1); // the chain, told by its label
    await page.getByText('Paste evidence as text').press('Enter');
    const text = readFileSync(paths.find((path) => path.endsWith('o.json')) ?? '', 'utf8');
    await page.getByRole('textbox', { name: 'JSON, hexadecimal, base64 or PEM' }).fill(text);
    await page.getByRole('button', { name: 'Use this text' }).press('Enter');
    await page.getByText('pasted text').waitFor();
    await page.getByRole('button', { name: 'Remove Evidence' }).press('Enter');
    await page.locator('#result').waitFor({ state: 'hidden' });
    await closed(page);
  });

  it('takes what is dropped anywhere on it', async () => {
    const { page } = await openFile(browser, file, DESKTOP);
    const content = JSON.stringify(EXPECTED_APP);
    await page.evaluate(`(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([${JSON.stringify(content)}], 'dropped.json'));
      document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
    })()`);
    await page.locator('#slots').getByText('dropped.json').waitFor();
    expect(await page.locator('#slots dt', { hasText: 'Expectations' }).count()).toBe(1);
    await closed(page);
  });
});

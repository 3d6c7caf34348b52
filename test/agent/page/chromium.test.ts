/** The page in a real browser, in every look: what a person sees, and what the browser complains about. Screenshots stay in .cache/test/page. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { page as render } from '../../../src/agent/page/page.ts';
import { CHROMIUM, LOOKS, launch, open, REASON, screenshot } from './browser.ts';
import { weakContrasts } from './contrast.ts';
import { CONTAINERS, makeScene, type Scene } from './scene.ts';

/** Serves the page of a scene as the agent does. */
async function serve(scene: Scene): Promise<{ server: Server; url: string }> {
  const server = createServer(async (request, response) => {
    const { host } = request.headers;
    const { text, policy } = await render(scene.state, scene.ready, { host, timelinePath: scene.timelinePath });
    response.writeHead(request.url === '/' ? 200 : 404, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy,
    });
    response.end(request.url === '/' ? text : '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

const width = (page: Page): Promise<number> => page.evaluate('document.documentElement.scrollWidth');

describe.skipIf(CHROMIUM === undefined)(`the page in chromium${REASON}`, { timeout: 60_000 }, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  }, 60_000);
  afterAll(() => browser?.close());

  describe.each([
    { name: 'app', compose: { name: 'dstack-demo' }, containers: CONTAINERS().slice(0, 3), looks: LOOKS },
    { name: 'hostile', compose: {}, containers: CONTAINERS(), looks: LOOKS.slice(-1) },
  ])('of $name', ({ name, compose, containers, looks }) => {
    let scene: Scene;
    let server: Server;
    let url = '';
    beforeAll(async () => {
      scene = await makeScene({ compose, containers });
      ({ server, url } = await serve(scene));
    });
    afterAll(async () => {
      server?.closeAllConnections();
      server?.close();
      await scene?.close();
    });

    it.each(looks)('is whole, quiet and readable at $width px in $theme', async (look) => {
      const { page, complaints } = await open(browser, url, look);
      await page.evaluate('document.querySelectorAll("details").forEach((each) => { each.open = true })');
      await screenshot(page, `${name}-${look.width}-${look.theme}`);
      const headings = await page.locator('h2').allTextContents();
      expect(headings).toEqual([
        'What to do next',
        'Containers',
        'System',
        'Network',
        'Identity',
        'Boot',
        'Measured events',
        'Verify this yourself',
      ]);
      expect(await page.locator('h1').textContent()).toContain(
        name === 'app' ? 'dstack-demo' : '<script>alert(1)</script>',
      );
      expect(await page.locator('.containers > li').count()).toBe(containers.length);
      expect(await width(page)).toBe(look.width);
      // the style with its hash was accepted, and it knows the theme
      const dark = (await page.evaluate('getComputedStyle(document.body).backgroundColor')) === 'rgb(14, 17, 21)';
      expect(dark).toBe(look.theme === 'dark');
      expect(await weakContrasts(page)).toEqual([]);
      expect(complaints).toEqual([]);
      await page.context().close();
    });

    // the rest is the same for both
    if (name !== 'app') return;

    it('draws every phase where it belongs, and leads from an event to its digest', async () => {
      const { page, complaints } = await open(browser, url, { width: 1200, theme: 'light' });
      expect(await page.locator('.boot').isVisible()).toBe(false); // folded: what is below would be out of reach
      await page.locator('section:has(#boot) summary').click();
      const bars = await page.locator('.boot rect.done').evaluateAll((all) =>
        all.map((bar) => {
          const { left, right } = (
            bar as unknown as { getBoundingClientRect(): { left: number; right: number } }
          ).getBoundingClientRect();
          return { left, right };
        }),
      );
      expect(bars).toHaveLength(11);
      const [first] = bars;
      const longest = bars.at(-2);
      if (first === undefined || longest === undefined) throw new Error('no bars');
      for (const [index, bar] of bars.entries()) expect(bar.left).toBeGreaterThanOrEqual(bars[index - 1]?.left ?? 0);
      const axis = (bars.at(-1)?.right ?? 0) - first.left;
      expect((longest.right - longest.left) / axis).toBeCloseTo(17_400 / 30_487, 1);
      await page.locator('a[href^="#event-"]', { hasText: 'compose-hash' }).click();
      expect(await page.locator('li:target').isVisible()).toBe(true); // the browser unfolds the list for it
      expect(await page.locator('li:target').textContent()).toMatch(/compose-hash.*SHA-384 [0-9a-f]{96}/s);
      expect(complaints).toEqual([]);
      await page.context().close();
    });

    it('selects a command as a whole with one click', async () => {
      const { page } = await open(browser, url, { width: 1200, theme: 'light' });
      await page.locator('.copy').nth(2).click();
      expect(await page.evaluate('getSelection().toString()')).toMatch(
        /^dstack-util verify evidence\.json --expect-file expect\.json \\\n {2}--collateral \S+$/,
      );
      await page.context().close();
    });
  });
});

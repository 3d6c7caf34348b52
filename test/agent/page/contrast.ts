/** Contrast of text as a browser paints it (WCAG 2, 1.4.3: 4.5 to 1). */
import type { Page } from 'playwright-core';

const LEAST = 4.5;

interface Painted {
  readonly text: string;
  readonly colour: string;
  readonly backgrounds: readonly string[];
}

/** Runs in the page: colour and backgrounds of every element that has text of its own. */
const COLLECT = `Array.from(document.querySelectorAll('body *')).flatMap((element) => {
  const own = Array.from(element.childNodes).filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join(' ').trim();
  if (own === '' || element.getClientRects().length === 0) return [];
  const backgrounds = [];
  for (let at = element; at; at = at.parentElement) backgrounds.push(getComputedStyle(at).backgroundColor);
  return [{ text: own.slice(0, 40), colour: getComputedStyle(element).color, backgrounds }];
})`;

const channels = (colour: string): number[] => (colour.match(/[\d.]+/g) ?? []).map(Number);

/** Relative luminance (WCAG 2). */
function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = channels(colour).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

export function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/** Texts that are hard to read, as `text: ratio`. */
export async function weakContrasts(page: Page): Promise<string[]> {
  const painted = (await page.evaluate(COLLECT)) as Painted[];
  if (painted.length < 20) throw new Error('there is hardly any text on the page');
  return painted.flatMap(({ text, colour, backgrounds }) => {
    const background = backgrounds.find((each) => channels(each)[3] !== 0) ?? 'rgb(255, 255, 255)';
    const ratio = contrast(colour, background);
    return ratio < LEAST ? [`${text}: ${ratio.toFixed(2)}`] : [];
  });
}

/** Small parts that the sections of the page share. */
import { errorChain } from '../../errors.ts';
import { withTimeout } from '../figures/with-timeout.ts';
import { type Html, html } from './html.ts';

/** A part of the page that is there, or why it is not. */
export type Attempt<T> = { readonly value: T } | { readonly failure: string };

/** A reader does not wait longer than this for one part. */
const TIMEOUT_MS = 4000;

/** Never fails and never takes long: a section that cannot be made says so. */
export async function attempt<T>(work: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { value: await withTimeout(TIMEOUT_MS, 'INTERNAL', 'it', work) };
  } catch (thrown) {
    return { failure: errorChain(thrown) };
  }
}

/** `1 phase`, `3 phases`. */
export const count = (number: number, one: string): string => `${number} ${one}${number === 1 ? '' : 's'}`;

/** Bytes for people: `512 B`, `1.4 MiB`, `23 GiB`. */
export function bytes(number: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = number;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `0.4 %`, `12 %`. */
export const percent = (share: number): string =>
  `${share < 0.1 ? (share * 100).toFixed(1) : Math.round(share * 100)} %`;

/** `45 s`, `3 min`, `5 h 02 min`, `12 d 3 h`: how long something has been there. */
export function age(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  if (hours < 1) return `${minutes} min`;
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A moment as people and programs read it, to the second. */
export const moment = (milliseconds: number): string => new Date(milliseconds).toISOString().replace(/\.\d+Z$/, 'Z');

/** A bar that is filled from `from` to `to` (0 to 1). The picture has no size of its own: the style stretches it. */
export function bar(from: number, to: number, kind: string): Html {
  const x = Math.max(0, Math.min(996, from * 1000));
  const width = Math.max(4, Math.min(1000 - x, (to - from) * 1000));
  return html`<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="1000" height="10"/><rect class="${kind}" x="${x.toFixed(1)}" width="${width.toFixed(1)}" height="10"/></svg>`;
}

/** A card of the page. */
export const section = (id: string, title: string, body: Html): Html =>
  html`<section aria-labelledby="${id}">\n<h2 id="${id}">${title}</h2>\n${body}\n</section>\n`;

/** One line of a definition list. */
export const row = (name: string, value: string | Html): Html =>
  html`<dt>${name}</dt><dd>${value === '' ? html`<span class="soft">none</span>` : value}</dd>\n`;

export const mono = (text: string): Html | string => (text === '' ? '' : html`<code>${text}</code>`);

/** A command or value to copy: one click selects all of it. */
export const copyBox = (text: string): Html => html`<pre class="copy" tabindex="0">${text}</pre>`;

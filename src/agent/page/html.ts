/** Building HTML so that nothing foreign can become markup: every value in a template is escaped unless it is Html itself. */

import { printableLines } from '../../ui.ts';

/** Text that is markup already. Only `html` makes it. */
export class Html {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

type Value = string | number | undefined | Html | readonly (string | number | Html)[];

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** Escapes for element content and quoted attributes; control characters and those that change the direction become visible. */
export function escapeHtml(text: string): string {
  return printableLines(text).replace(/[&<>"']/g, (c) => ENTITIES[c] ?? c);
}

function render(value: Value): string {
  if (value === undefined) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map((item) => render(item as Value)).join('');
  return escapeHtml(String(value));
}

/** Template tag: `html\`<p>${text}</p>\``. Attribute values must stand in double quotes. */
export function html(parts: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(parts.reduce((out, part, index) => out + render(values[index - 1]) + part));
}

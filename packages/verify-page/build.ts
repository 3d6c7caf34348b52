/**
 * Makes the page: one HTML file with its style and its script inside, and a policy that allows these two and no connection.
 * The same sources give the same bytes.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundledPackages, notices } from '../verify/notices.ts';
import { withoutNode } from '../verify/without-node.ts';

const DIR = import.meta.dirname;
const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#4f7cff" d="M8 1l6 2v5c0 4-3 6-6 7-3-1-6-3-6-7V3z"/></svg>',
)}`;

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

/** For a header, too: a page cannot forbid by itself that another one frames it. */
export const FRAMING = "frame-ancestors 'none'";

export interface VerifyPage {
  readonly html: string;
  /** Content-Security-Policy, as it stands in the page */
  readonly policy: string;
}

/** @param version shown at the foot of the page */
export function assemble(parts: { page: string; style: string; script: string; version: string }): VerifyPage {
  const { page, style, version } = parts;
  // the end tag of the element that it stands in would end it
  const script = parts.script.replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--');
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  const values: Readonly<Record<string, string>> = { policy, icon: ICON, style, version, script };
  const left = new Set(Object.keys(values));
  const html = page.replace(/(?:\/\*)?\{\{(\w+)\}\}(?:\*\/)?/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined || !left.delete(name)) throw new Error(`page.html asks for ${name}`);
    return value;
  });
  if (left.size > 0) throw new Error(`page.html has no place for ${[...left].join(', ')}`);
  return { html, policy };
}

/** Bundles the script and assembles the page. Run by Bun, whose bundler it is. @param version shown at its foot */
export async function buildVerifyPage(version: string): Promise<VerifyPage> {
  const built = await Bun.build({
    entrypoints: [join(DIR, 'script/main.ts')],
    target: 'browser',
    format: 'iife',
    minify: true,
    sourcemap: 'none',
    splitting: false,
    metafile: true,
    external: ['node:*'],
    plugins: [withoutNode],
    throw: true,
  });
  const [script] = built.outputs;
  if (script === undefined || built.outputs.length !== 1) throw new Error('the script of the page is not one file');
  const { html, policy } = assemble({
    page: readFileSync(join(DIR, 'page.html'), 'utf8'),
    style: readFileSync(join(DIR, 'style.css'), 'utf8'),
    script: (await script.text()).trim(),
    version,
  });
  // what the licences of others ask for goes where the code goes
  const comment = notices('This page', bundledPackages(built.metafile)).replaceAll(/--(?=!?>)|<(?=!--)/g, '$& ');
  return { html: `${html.trimEnd()}\n<!--\n${comment}-->\n`, policy };
}

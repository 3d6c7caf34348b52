/** Generated pages must be what the code says today. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { commandPages, errorsPage, openapiText } from '../../scripts/docs-pages.ts';

it('docs/errors.md is up to date (node scripts/run.mjs docs)', () => {
  expect(readFileSync('docs/errors.md', 'utf8')).toBe(errorsPage());
});

it('docs/openapi.json is up to date (node scripts/run.mjs docs)', () => {
  expect(readFileSync('docs/openapi.json', 'utf8')).toBe(openapiText());
});

it('docs/commands is up to date (node scripts/run.mjs docs)', { timeout: 90_000 }, async () => {
  const pages = await commandPages();
  expect(readdirSync('docs/commands').toSorted()).toEqual([...pages.keys()].toSorted());
  for (const [name, text] of pages) expect(readFileSync(`docs/commands/${name}`, 'utf8')).toBe(text);
});

it('tests that the documents name as evidence are there', () => {
  const named = readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .flatMap((name) => readFileSync(`docs/${name}`, 'utf8').match(/\btest\/[\w./-]+\.ts\b/g) ?? []);
  expect(named.length).toBeGreaterThan(50);
  expect([...new Set(named)].filter((path) => !existsSync(path))).toEqual([]);
});

describe('what people read is plain English', () => {
  const linesOf = (path: string) =>
    readFileSync(path, 'utf8')
      .split('\n')
      .map((line) => ({ at: path, line }));
  const sources = ['src', 'simulator'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => `${folder}/${path}`),
  );
  const pages = [
    'README.md',
    'CONTRIBUTING.md',
    'CHANGELOG.md',
    'initramfs/README.md',
    ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.md'))
      .map((path) => `docs/${path}`),
  ];
  const report = (lines: { at: string; line: string }[]) => lines.map(({ at, line }) => `${at}: ${line.trim()}`);

  it('messages say "is not a block device" and not "is no block device"', () => {
    const code = sources
      .flatMap(linesOf)
      .map(({ at, line }) => ({ at, line: line.replace(/(^|\s)(\/\/|\*|\/\*).*/, '') }));
    const found = code.filter(({ line }) => /['"`](?:.*(?<!here) )?(?:is|are) no (?!longer|more)\w/.test(line));
    expect(report(found)).toEqual([]);
  });

  it('documents say so, too', () => {
    expect(pages.length).toBeGreaterThan(40);
    const allowed = /\b[Tt]here (?:is|are) no\b|\b(?:is|are) no (?:longer|more)\b/g;
    const found = pages
      .flatMap(linesOf)
      .filter(({ line }) => /\b(?:is|are|be) no [a-z]/.test(line.replaceAll(allowed, '')));
    expect(report(found)).toEqual([]);
  });

  it('nothing is made "anew": it is made again, or a new one is', () => {
    expect(report([...sources, ...pages].flatMap(linesOf).filter(({ line }) => /\banew\b/i.test(line)))).toEqual([]);
  });
});

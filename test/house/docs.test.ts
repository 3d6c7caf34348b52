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

it('docs/commands is up to date (node scripts/run.mjs docs)', async () => {
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

describe('messages are plain English', () => {
  it('says "is not a block device" and not "is no block device"', () => {
    const sources = ['src', 'simulator'].flatMap((folder) =>
      readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .filter((path) => path.endsWith('.ts'))
        .map((path) => `${folder}/${path}`),
    );
    const found = sources.flatMap((path) =>
      readFileSync(path, 'utf8')
        .split('\n')
        .map((line) => line.replace(/(^|\s)(\/\/|\*|\/\*).*/, ''))
        .filter((line) => /['"`].*(?<!here) is no (?!longer|more)\w/.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
    expect(found).toEqual([]);
  });
});

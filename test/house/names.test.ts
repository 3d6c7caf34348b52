/** One exported name has one meaning: who finds a name by text must not have to ask which of two it is. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/** Names that several files declare on purpose, with the reason. */
const SHARED: Readonly<Record<string, string>> = {
  createHasher: 'the same for Node and for the web: package.json, imports',
  p256Key: 'the same for Node and for the web: package.json, imports',
};

const DECLARATION =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|const|let|class|interface|type|enum) (\w+)/gm;

/** The files that declare each exported name; an interface and a constant of one file count once. */
function declarations(sources: Readonly<Record<string, string>>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [path, text] of Object.entries(sources)) {
    for (const name of new Set([...text.matchAll(DECLARATION)].map((match) => match[1]!)))
      found.set(name, [...(found.get(name) ?? []), path]);
  }
  return found;
}

const repeated = (sources: Readonly<Record<string, string>>): string[] =>
  [...declarations(sources)]
    .filter(([name, paths]) => paths.length > 1 && SHARED[name] === undefined)
    .map(([name, paths]) => `${name}: ${paths.join(', ')}`);

const sources = Object.fromEntries(
  readdirSync('src', { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => [join('src', path), readFileSync(join('src', path), 'utf8')]),
);

it('no two files of src export different things under one name', () => {
  expect(Object.keys(sources).length).toBeGreaterThan(300);
  expect(repeated(sources)).toEqual([]);
});

it('sees each form of declaration', () => {
  const forms = ['async function', 'function', 'const', 'class', 'interface', 'type'];
  for (const form of forms)
    expect(repeated({ 'a.ts': `export ${form} same`, 'b.ts': 'export const same = 1;' })).toEqual(['same: a.ts, b.ts']);
  expect(repeated({ 'a.ts': 'export const same = 1;', 'b.ts': "export { same } from './a.ts';" })).toEqual([]);
});

it('no name is excused that one file alone declares', () => {
  const all = declarations(sources);
  expect(Object.keys(SHARED).filter((name) => (all.get(name)?.length ?? 0) < 2)).toEqual([]);
});

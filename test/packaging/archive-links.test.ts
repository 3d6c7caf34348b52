/** Whoever has only the archive finds in it what its pages link to and tell people to take. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeTree } from '../../packaging/tree.ts';

const DOC = 'usr/share/doc/dstack-util';
/** Written beside the tree by packRelease. */
const LATER = ['sbom.spdx.json'];

let root: string;
let doc: string;
let pages: string[];
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'links-'));
  writeFileSync(join(root, 'binary'), '');
  await makeTree({ root: join(root, 'tree'), binary: join(root, 'binary'), version: '1.2.3', date: '2026-01-02' });
  doc = join(root, 'tree', DOC);
  pages = readdirSync(doc, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
}, 120_000);
afterAll(() => rmSync(root, { recursive: true }));

const read = (page: string): string => readFileSync(join(doc, page), 'utf8');
const there = (path: string): boolean => existsSync(join(doc, path)) || LATER.includes(path);

/** The anchor that a page of this heading has: letters, digits, hyphens and underscores, blanks as hyphens. */
const anchor = (heading: string): string =>
  heading
    .replaceAll(/[`*]/g, '')
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-');

/** Text without code blocks, in which brackets are something else. */
const prose = (page: string): string => read(page).replaceAll(/^ *```[\s\S]*?^ *```/gm, '');

describe('the documentation in the archive', () => {
  it('has every page of docs', () => {
    const own = readdirSync('docs', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md'));
    expect(pages.toSorted()).toEqual([...own, 'CHANGELOG.md'].toSorted());
  });

  it('links to files and headings that are in it', () => {
    const broken: string[] = [];
    let links = 0;
    for (const page of pages)
      for (const [, target = ''] of prose(page).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        links++;
        const [path = '', fragment] = target.split('#');
        const file = path === '' ? page : normalize(join(dirname(page), path));
        const headings = () => (read(file).match(/^#+ .*$/gm) ?? []).map((line) => anchor(line.replace(/^#+ /, '')));
        if (!there(file) || (fragment !== undefined && !headings().includes(fragment)))
          broken.push(`${page}: ${target}`);
      }
    expect(links).toBeGreaterThan(50);
    expect(broken).toEqual([]);
  });

  it('names only pages and folders of docs that are in it', () => {
    const named = pages.flatMap((page) =>
      [...read(page).matchAll(/(?<![\w/.])docs\/([\w./-]*\w)/g)].map(([, it]) => it!),
    );
    expect(named.length).toBeGreaterThan(10);
    expect([...new Set(named)].filter((path) => !there(path) && !there(`${path}.md`))).toEqual([]);
  });

  it('names only files of the source that are in the repository', () => {
    const folders = /(?<![\w/.~])(?:initramfs|simulator|src|bench|test|scripts|packaging)\/[\w.-]+(?:\/[\w.-]+)*/g;
    const named = pages.flatMap((page) => read(page).match(folders) ?? []).map((path) => path.replace(/\.$/, ''));
    expect(named.length).toBeGreaterThan(100);
    // a test may be named without its ending, and a file without its type
    const missing = [...new Set(named)].filter(
      (path) => ![path, `${path}.ts`, `${path}.test.ts`, `${path}.vm.test.ts`].some((it) => existsSync(it)),
    );
    expect(missing).toEqual([]);
  });

  it.each(['mkosi', 'ci'])('has all files of %s that its page names', (folder) => {
    const names = [
      ...read(`${folder}/README.md`).matchAll(/`([\w.-]+\.(?:conf|preset|yml|d|extra)\/?)`|\]\(([\w.-]+)\)/g),
    ];
    const files = readdirSync(join(doc, folder), { recursive: true, encoding: 'utf8' });
    const named = names
      .map(([, code, link]) => (code ?? link ?? '').replace(/\/$/, ''))
      .filter((it) => it !== 'mkosi.conf');
    expect(named.length).toBeGreaterThan(1);
    for (const name of named)
      expect(
        files.some((it) => it === name || it.endsWith(`/${name}`)),
        name,
      ).toBe(true);
  });
});

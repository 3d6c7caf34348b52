import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { differingFiles } from '../../initramfs/lib/compare.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'compare-'));
  mkdirSync(join(dir, 'one/etc'), { recursive: true });
  writeFileSync(join(dir, 'one/etc/a'), 'a');
  writeFileSync(join(dir, 'one/etc/b'), 'b');
  symlinkSync('a', join(dir, 'one/etc/link'));
  symlinkSync('..', join(dir, 'one/etc/up')); // a folder that is not to be entered, or there would be no end
  cpSync(join(dir, 'one'), join(dir, 'two'), { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
  for (const tree of ['one', 'two']) for (const name of ['', 'etc']) utimesSync(join(dir, tree, name), 0, 0);
});
afterEach(() => rmSync(dir, { recursive: true }));
const differing = () => differingFiles(join(dir, 'one'), join(dir, 'two'));

it('finds nothing between equal trees', async () => {
  expect(await differing()).toEqual([]);
});

it('names each path and what differs', async () => {
  const at = (name: string) => join(dir, 'two/etc', name);
  writeFileSync(at('a'), 'A');
  utimesSync(at('a'), 7, 7);
  chmodSync(at('b'), 0o600);
  rmSync(at('link'));
  symlinkSync('b', at('link'));
  writeFileSync(at('new'), '');
  utimesSync(join(dir, 'two/etc'), 0, 0);
  const found = await differing();
  expect(found[0]).toMatch(/^\/etc\/a: time \d+ and 7, content [0-9a-f]{16} and [0-9a-f]{16}$/);
  expect(found[1]).toBe('/etc/b: mode 644 and 600');
  expect(found[2]).toMatch(/^\/etc\/link: .*content a and b$/);
  expect(found[3]).toBe('/etc/new: only in the second build');
});

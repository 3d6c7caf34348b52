import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { freshRoots, openRoots } from '../../../simulator/kms/roots.ts';
import { toHex } from '../../../src/codec/hex.ts';
import { rejection } from '../../failure.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'kms-roots-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const file = () => join(dir, 'kms-roots.json');
const identity = ({ ca, k256 }: Awaited<ReturnType<typeof freshRoots>>) => [toHex(ca.key.scalar), toHex(k256)];

it('makes roots once and finds them again, readable by nobody else', async () => {
  const first = await openRoots(dir);
  expect((statSync(file()).mode & 0o777).toString(8)).toBe('600');
  expect(readdirSync(dir)).toEqual(['kms-roots.json']);
  expect(await openRoots(dir)).toEqual(first);
  expect(identity(await freshRoots())).not.toEqual(identity(first));
});

it('agrees on one set when several services start in an empty folder', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => openRoots(dir)));
  expect(new Set(all.map((roots) => identity(roots).join())).size).toBe(1);
  expect(readdirSync(dir)).toEqual(['kms-roots.json']);
});

it('refuses a file that is damaged or that others can read, without a word of its content', async () => {
  await openRoots(dir);
  const text = readFileSync(file(), 'utf8');
  chmodSync(file(), 0o640);
  expect(await rejection(openRoots(dir))).toMatchObject({ code: 'KEYS_FILE_INVALID' });
  chmodSync(file(), 0o600);
  for (const damaged of [
    text.slice(1),
    text.replace('k256_key', 'x'),
    text.replace(/"k256_key": ".."?/, '"k256_key": "zz'),
  ]) {
    writeFileSync(file(), damaged);
    const failure = await rejection(openRoots(dir));
    expect(failure).toMatchObject({ code: 'KEYS_FILE_INVALID', path: file() });
    expect(JSON.stringify(failure)).not.toContain(text.match(/"k256_key": "(.{8})/)?.[1]);
  }
});

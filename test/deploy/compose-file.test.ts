import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { composeProject, extractComposeFile } from '../../src/deploy/compose-file.ts';

let dir = '';
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dstack-compose-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const file = () => join(dir, 'docker-compose.yaml');
const compose = { dockerComposeFile: 'services:\n  ä: {}' };

describe('extractComposeFile', () => {
  it('writes the text and a newline', async () => {
    expect(await extractComposeFile(compose, dir)).toBe(file());
    expect(readFileSync(file(), 'utf8')).toBe('services:\n  ä: {}\n');
  });
  it('replaces an edited copy, and a link without following it', async () => {
    writeFileSync(file(), 'services: { evil: {} }\n');
    await extractComposeFile(compose, dir);
    expect(readFileSync(file(), 'utf8')).toBe('services:\n  ä: {}\n');
    rmSync(file());
    writeFileSync(join(dir, 'other'), 'precious');
    symlinkSync(join(dir, 'other'), file());
    await extractComposeFile(compose, dir);
    expect(readFileSync(file(), 'utf8')).toBe('services:\n  ä: {}\n');
    expect(readFileSync(join(dir, 'other'), 'utf8')).toBe('precious');
  });
  it('refuses an app without a compose file', async () => {
    await expect(extractComposeFile({}, dir)).rejects.toMatchObject({ code: 'COMPOSE_INVALID' });
  });
});

describe('composeProject', () => {
  it.each([
    ['services: {web: {}, db: {}}', { project: 'dstack', services: new Set(['web', 'db']) }],
    ['name: My-App\nservices: {web: }', { project: 'My-App', services: new Set(['web']) }],
    ['name: 7\nservices: {}', { project: 'dstack', services: new Set() }],
    ['services: {a: {}}\n---\nservices: {b: {}}', { project: 'dstack', services: new Set(['a']) }],
    ['x: &x {a: {}}\nservices: {<<: *x, b: {}}', { project: 'dstack', services: new Set(['a', 'b']) }],
  ])('reads %j', async (text, expected) => expect(await composeProject(text, 'dstack')).toEqual(expected));
  it.each([
    [''],
    ['- a'],
    ['services: [a]'],
    ['name: x'],
    ['services: {a: {}'],
    ['a: b: c'],
    ['services: {a: 1, a: 2}'],
  ])('refuses %j', async (text) =>
    expect(composeProject(text, 'dstack')).rejects.toMatchObject({ code: 'COMPOSE_INVALID' }),
  );
});

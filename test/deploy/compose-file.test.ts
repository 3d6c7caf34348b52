import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { composeProject, composeServices, extractComposeFile } from '../../src/deploy/compose-file.ts';

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
    ['services: {a: {}}\n---\nservices: {b: {}}', { project: 'dstack', services: new Set(['a', 'b']) }],
    ['name: x\nservices: {a: {}}\n---\nname: y\n---\n', { project: 'y', services: new Set(['a']) }],
    ['---\n---\nservices: {a: {}}', { project: 'dstack', services: new Set(['a']) }],
    ['x: &x {a: {}}\nservices: {<<: *x, b: {}}', { project: 'dstack', services: new Set(['a', 'b']) }],
  ])('reads %j', async (text, expected) =>
    expect(await composeProject(text, 'dstack')).toEqual({ ...expected, complete: true }),
  );
  it.each([
    ['include: [more.yaml]\nservices: {a: {}}', ['a']],
    ['include: [more.yaml]', []],
    ['services: {a: {}}\n---\ninclude: [more.yaml]', ['a']],
  ])('knows that it does not know all services of %j', async (text, services) =>
    expect(await composeProject(text, 'dstack')).toEqual({
      project: 'dstack',
      services: new Set(services),
      complete: false,
    }),
  );
  it('lets a later document change fields of a service', async () => {
    const text = 'services: {a: {image: old, profiles: [x]}}\n---\nservices: {a: {image: new}}';
    expect(await composeServices(text)).toEqual([{ name: 'a', image: 'new', built: false, profiles: ['x'] }]);
  });
  it.each([
    [''],
    ['- a'],
    ['services: [a]'],
    ['name: x'],
    ['services: {a: {}'],
    ['a: b: c'],
    ['services: {a: 1, a: 2}'],
    ['services: {a: {}}\n---\n- b'],
    ['services: {a: {}}\n---\nservices: [b]'],
    ['services: {a: {}}\n---\na: b: c'],
    ['---\n---\n'],
  ])('refuses %j', async (text) =>
    expect(composeProject(text, 'dstack')).rejects.toMatchObject({ code: 'COMPOSE_INVALID' }),
  );
});

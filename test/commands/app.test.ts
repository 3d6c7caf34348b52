/** `dstack-util app` as a person drives it. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const BUN = resolve('node_modules/@oven/bun-linux-x64-baseline/bin/bun');
const PROGRAM = resolve('bin/dstack-util.ts');
const DIGEST = `sha256:${'a'.repeat(64)}`;

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'app-command-'));
  writeFileSync(join(dir, 'docker-compose.yaml'), `services: {web: {image: "nginx@${DIGEST}", command: $WORD}}\n`);
  mkdirSync(join(dir, 'empty'));
  writeFileSync(join(dir, 'loose.yaml'), 'services: {web: {image: nobody.invalid/nothing}}\n');
  writeFileSync(join(dir, 'local.yaml'), 'services: {web: {build: .}}\n');
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function app(...given: (string | { cwd: string })[]) {
  const args = given.filter((it) => typeof it === 'string');
  const cwd = given.find((it) => typeof it !== 'string')?.cwd ?? dir;
  const env = { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' };
  const done = spawnSync(BUN, [PROGRAM, 'app', ...args], { encoding: 'utf8', env, input: '', cwd });
  return { exit: done.status, stdout: done.stdout, stderr: done.stderr };
}

describe.sequential('app', () => {
  it('init writes the document with its hash, check is content with it, hash prints the same', () => {
    const made = app('init', 'docker-compose.yaml', '--name', 'shop', '--gateway');
    expect(made, made.stderr).toMatchObject({ exit: 0, stderr: '' });
    const bytes = readFileSync(join(dir, 'app-compose.json'));
    const hash = createHash('sha256').update(bytes).digest('hex');
    expect(made.stdout).toContain(`compose hash  ${hash}\napp id        ${hash.slice(0, 40)}\n`);
    expect(made.stdout).toContain(`0x${hash.slice(0, 40)}`);
    expect(JSON.parse(bytes.toString())).toMatchObject({ name: 'shop', gateway_enabled: true, allowed_envs: ['WORD'] });
    const checked = app('check', '--strict', '--json');
    expect(checked.exit, checked.stdout).toBe(0);
    expect(JSON.parse(checked.stdout)).toMatchObject({
      kind: 'app-compose',
      compose_hash: hash,
      app_id: hash.slice(0, 40),
      refused: false,
      unpinned: 0,
    });
    const hashed = JSON.parse(app('hash', '--json').stdout);
    expect(hashed).toMatchObject({ compose_hash: hash, app_id: hash.slice(0, 40), name: 'shop', normalized: false });
    expect(hashed.normalized_hash).toMatch(/^[0-9a-f]{64}$/);
  });

  it('init does not replace a document without being told', () => {
    const before = readFileSync(join(dir, 'app-compose.json'), 'utf8');
    const again = app('init', 'loose.yaml');
    expect(again).toMatchObject({ exit: 1, stdout: '' });
    expect(again.stderr).toContain('error [FILE_IO]: file app-compose.json exists already');
    expect(readFileSync(join(dir, 'app-compose.json'), 'utf8')).toBe(before);
    expect(app('init', 'loose.yaml', '--force').exit).toBe(0);
    expect(readFileSync(join(dir, 'app-compose.json'), 'utf8')).not.toBe(before);
  });

  it('init writes nothing that a guest would refuse, unless it is forced', () => {
    const refused = app('init', 'local.yaml', '--out', 'local.json', '--json');
    expect(refused.exit).toBe(1);
    expect(JSON.parse(refused.stdout)).toMatchObject({
      file: null,
      refused: true,
      findings: [{ rule: 'build-context' }],
    });
    expect(existsSync(join(dir, 'local.json'))).toBe(false);
    expect(app('init', 'local.yaml', '--out', 'local.json', '--force').exit).toBe(0);
    const { exit, stdout } = app('check', 'local.json');
    expect(exit).toBe(1);
    expect(stdout).toContain('REFUSED   services.web.build: it is built from ., which is not there in the guest');
  });

  it('check counts what is not pinned only when it is strict', () => {
    const loose = app('check', 'loose.yaml');
    expect(loose.exit).toBe(0);
    expect(loose.stdout).toMatch(
      /^unpinned {2}services\.web\.image: .*\n {10}-> write nobody\.invalid\/nothing@sha256:<digest>/,
    );
    expect(loose.stdout).toContain('loose.yaml: 0 refused, 1 unpinned, 0 warnings, 0 notes');
    expect(app('check', 'loose.yaml', '--strict').exit).toBe(1);
  });

  it('asks for a name where the file that is taken without one is not there', () => {
    const { exit, stderr } = app('hash', { cwd: join(dir, 'empty') });
    expect(exit).toBe(1);
    expect(stderr).toMatch(
      /no file was named, and app-compose\.json does not exist here[\s\S]*hint: name one: dstack-util app hash FILE/,
    );
  });

  it.each([
    { args: ['init', 'nope.yaml'], exit: 1, message: 'error [FILE_NOT_FOUND]: file nope.yaml does not exist' },
    { args: ['check', 'nope.json'], exit: 1, message: 'error [FILE_NOT_FOUND]: file nope.json does not exist' },
    { args: ['hash', 'docker-compose.yaml'], exit: 1, message: 'error [JSON_INVALID]' },
    { args: ['init', '--allow-env', '9'], exit: 2, message: "argument '9' is invalid. It is not a name" },
    { args: ['init', '--swap-size', '2X'], exit: 2, message: '--swap-size' },
    { args: ['init', '--key-provider', 'tpm'], exit: 2, message: 'Allowed choices are kms, local, none' },
    { args: [], exit: 2, message: 'one of init, check, hash is missing' },
  ])('$args is one error', ({ args, exit, message }) => {
    const done = app(...args);
    expect(done).toMatchObject({ exit, stdout: '' });
    expect(done.stderr).toContain(message);
    expect(done.stderr.match(/error \[/g)).toHaveLength(1);
  });
});

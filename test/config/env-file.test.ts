import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { escapeEnvValue, formatEnvFile } from '../../src/config/env-file.ts';
import vectors from '../vectors/config.json' with { type: 'json' };

/** Programs that a value would start: each leaves a file. */
const TOUCH = 'touch HERE';
const NASTY = [
  ...[
    '$(touch HERE)',
    '`touch HERE`',
    '\\$(touch HERE)',
    '\\`touch HERE`',
    '\\"; touch HERE; "',
    '\\\\"; touch HERE; "',
  ],
  ...['";touch HERE;"', "';touch HERE;'", 'a\\', '\\', '\\\\', '\\\n$(touch HERE)', 'x\ntouch HERE', 'x\rtouch HERE'],
  ...[
    'x\rOTHER=1',
    '$HOME',
    '\\$HOME',
    `$${'{HOME:-x}'}`,
    '~',
    '~/x',
    'a:~/b',
    '!x',
    '#x',
    'a #b',
    ' a ',
    '*',
    '{a,b}',
    "it's",
  ],
  ...['back\\slash', 'a\\tb', 'a\\nb', '"', "'", '\\"', "\\'", 'x\\\ny', 'é \u2028', '{"json": "a\\"b"}', 'a=b=c', ''],
];
const PIECES = [
  '\\',
  '"',
  "'",
  '$',
  '`',
  '\n',
  '\r',
  ' ',
  '~',
  ':',
  '#',
  '(',
  ')',
  ';',
  TOUCH,
  `$${'{X}'}`,
  'a',
  '=',
  'n',
];
const nasty = fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }).map((pieces) => pieces.join(''));

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'env-file-'));
});
afterEach(() => rmSync(dir, { recursive: true }));

const named = (values: readonly string[]) => new Map(values.map((value, i) => [`V${i}`, value]));
/** one line a variable: a newline is written as backslash and n, by us and by the deployed writers */
const shown = (value: string) => value.replaceAll('\n', '\\n');

/** What a shell has in its variables after it read the file; nothing may appear in its folder. */
function sourced(shell: string, values: readonly string[]): string[] {
  const path = join(dir, 'file');
  writeFileSync(path, formatEnvFile(named(values)));
  const names = values.map((_, i) => `"$V${i}"`).join(' ');
  const script = `HOME=/home/x; . ./file || exit 9; printf '%s\\0' ${names}; printf '%s' "$OTHER"`;
  const done = spawnSync(shell, ['-c', script], {
    cwd: dir,
    encoding: 'utf8',
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['ignore', 'pipe', 'pipe'], // with a socket as its input bash reads ~/.bashrc
  });
  expect(done).toMatchObject({ status: 0, stderr: '' });
  expect(readdirSync(dir)).toEqual(['file']);
  const read = done.stdout.split('\0');
  expect(read.pop()).toBe(''); // OTHER
  return read;
}

describe.each(['bash', 'dash'])('the environment file, read by %s', (name) => {
  const shell = ['/usr/bin', '/bin'].map((folder) => `${folder}/${name}`).find((path) => existsSync(path));

  it.skipIf(shell === undefined).each(NASTY)('holds %j and runs nothing', (value) => {
    expect(sourced(shell!, [value, 'after'])).toEqual([shown(value), 'after']);
  });

  it.skipIf(shell === undefined)('holds whatever is put together from what shells give a meaning to', () => {
    const many = fc.array(nasty, { minLength: 100, maxLength: 200 });
    fc.assert(
      fc.property(many, (values) => {
        expect(sourced(shell!, values)).toEqual(values.map(shown));
      }),
      { numRuns: 20 },
    );
  });
});

describe('the environment file, read by docker compose', () => {
  // of this machine, or of an image that was built in this checkout
  const built = existsSync('.cache/packages') ? readdirSync('.cache/packages') : [];
  const plugin = ['', ...built.map((name) => `.cache/packages/${name}/tree`)]
    .map((root) => `${root}/usr/libexec/docker/cli-plugins/docker-compose`)
    .find((path) => spawnSync(path, ['version']).status === 0);
  const why = plugin === undefined ? 'no docker compose here' : 'checked here';

  it.skipIf(plugin === undefined)(
    `holds the values but for escapes of its own; newlines too, a backtick with its backslash (${why})`,
    () => {
      const values = [...NASTY, ...fc.sample(nasty, 300)].filter((value) => !/\\[abcfnrtv0]/.test(value));
      writeFileSync(join(dir, 'file'), formatEnvFile(named(values)));
      writeFileSync(join(dir, 'c.yaml'), 'services: {a: {image: x, env_file: file}}');
      const args = ['-f', join(dir, 'c.yaml'), 'config', '--format', 'json'];
      const done = spawnSync(plugin!, args, { encoding: 'utf8' });
      expect(done).toMatchObject({ status: 0 });
      const read = JSON.parse(done.stdout).services.a.environment as Record<string, string>;
      for (const [i, value] of values.entries()) {
        // `config` writes a dollar twice; what it reads of `\`` keeps the backslash, as from the deployed writers
        expect(read[`V${i}`]?.replaceAll('$$', '$'), JSON.stringify(value)).toBe(value.replaceAll('`', '\\`'));
      }
      expect(Object.keys(read)).toHaveLength(values.length);
    },
  );
});

describe('the bytes of the environment file', () => {
  // the vector of a bare carriage return: systemd ends the line there and reads the rest as another variable
  it.each(vectors.env_escape.filter(({ value }) => !value.includes('\r')))(
    'are those deployed for $value',
    (vector) => {
      expect(escapeEnvValue(vector.value)).toBe(vector.escaped);
    },
  );

  it.each([
    ['\\$(id)', '"\\\\\\$(id)"'],
    ['a\\', '"a\\\\"'],
    ['a\rB=c', '"a\rB=c"'],
    ['~/x', '"~/x"'],
  ])('are others where %j would be misread', (value, escaped) => {
    expect(escapeEnvValue(value)).toBe(escaped);
  });

  it('differ from the deployed ones for no value without backslash, carriage return and tilde', () => {
    const plain = fc.string({ unit: fc.constantFrom(...PIECES.filter((piece) => !/[\\\r~]/.test(piece))) });
    fc.assert(
      fc.property(plain, (value) => {
        const deployed = value.replace(/["$`]/g, '\\$&').replaceAll('\n', '\\n');
        expect(escapeEnvValue(value)).toBe(/[ \t|&;<>()$`\\"'\n]/.test(value) ? `"${deployed}"` : deployed);
      }),
    );
  });
});

/** The real main, driven as a person drives it: arguments in, stdout, stderr and exit status out. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../src/commands/table.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';

function util(...args: string[]) {
  const env = { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' };
  const done = spawnSync(BUN, ['bin/dstack-util.ts', ...args], { encoding: 'utf8', env, input: '' });
  return { exit: done.status, stdout: done.stdout, stderr: done.stderr };
}

describe('dstack-util', () => {
  it('lists every command with its alias in --help', () => {
    const { exit, stdout, stderr } = util('--help');
    expect(exit).toBe(0);
    expect(stderr).toBe('');
    for (const { name, alias } of COMMANDS)
      expect(stdout).toMatch(new RegExp(`^  ${alias ? `${name}\\|${alias}` : name} `, 'm'));
    expect(stdout).toContain('Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 misconfigured,');
  });

  it.each(COMMANDS.map(({ name }) => name))('%s --help explains itself on stdout', (name) => {
    const { exit, stdout, stderr } = util(name, '--help');
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: dstack-util ${name}`));
    // every option has a description
    for (const line of stdout.split('\n').filter((text) => /^ {2}-/.test(text))) expect(line).toMatch(/ {2}\S/);
  });

  it.each([
    { args: [], message: 'a subcommand is missing' },
    { args: ['nonsense'], message: "unknown command 'nonsense'" },
    { args: ['derive-key'], message: '--path is missing' },
    { args: ['gen-ra-cert'], message: "required option '--ca-cert <file>' not specified" },
    { args: ['hex', '--nonsense'], message: "unknown option '--nonsense'" },
  ])('wrong usage $args is one error with code and hint, exit status 2', ({ args, message }) => {
    const { exit, stdout, stderr } = util(...args);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
    expect(stderr).toBe(`error [USAGE]: ${message}\n  hint: see --help\n`);
  });

  it('reports an error as JSON on stdout with --json', () => {
    const { exit, stdout, stderr } = util('derive-key', '--path', 'x', '--keys-file', '/nonexistent/keys', '--json');
    expect(exit).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({ code: 'FILE_NOT_FOUND', path: '/nonexistent/keys' });
    expect(stderr).toContain('error [FILE_NOT_FOUND]');
  });

  it('knows its alias', () => {
    expect(util('extend', '--help').stdout).toContain('rtmr-extend|extend');
  });
});

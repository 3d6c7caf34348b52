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
    { args: [], message: 'the command is missing', help: 'dstack-util' },
    { args: ['nonsense'], message: "unknown command 'nonsense'", help: 'dstack-util' },
    { args: ['help', 'nonsense'], message: "unknown command 'nonsense'", help: 'dstack-util' },
    { args: ['verfy'], message: "unknown command 'verfy' (Did you mean verify?)", help: 'dstack-util' },
    { args: ['derive-key'], message: '--path is missing', help: 'dstack-util derive-key' },
    {
      args: ['gen-ra-cert'],
      message: "required option '--ca-cert <file>' not specified",
      help: 'dstack-util gen-ra-cert',
    },
    { args: ['hex', '--nonsense'], message: "unknown option '--nonsense'", help: 'dstack-util hex' },
    {
      args: ['extend'],
      message: "required option '-e, --event <name>' not specified",
      help: 'dstack-util rtmr-extend',
    },
    { args: ['env'], message: 'one of encrypt, check is missing', help: 'dstack-util env' },
    { args: ['fde', 'volumes'], message: 'one of list, status, mount is missing', help: 'dstack-util fde volumes' },
    { args: ['fde', 'close', '--nonsense'], message: "unknown option '--nonsense'", help: 'dstack-util fde close' },
  ])('wrong usage $args is one error with code and hint, exit status 2', ({ args, message, help }) => {
    const { exit, stdout, stderr } = util(...args);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
    expect(stderr).toBe(`error [USAGE]: ${message}\n  hint: see ${help} --help\n`);
  });

  it.each([
    ['rtmr-extend', '-e', 'a', '-p', 'zz'],
    ['attest', '--report-data', 'xyz'],
    ['quote-report', '--report-data', '0'],
    ['rand', '-n', 'abc'],
    ['env', 'encrypt', '--public-key', 'zz', '--trust-key'],
    ['verify', '/dev/null', '--expect', 'app-idd=0'],
  ])('a value that a person typed wrong is wrong usage: %j', (...args) => {
    const { exit, stdout } = util(...args);
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
  });

  it('help and version are commands too', () => {
    expect(util('help')).toEqual(util('--help'));
    expect(util('help', 'fde', 'open')).toEqual(util('fde', 'open', '--help'));
    expect(util('version')).toEqual(util('--version'));
  });

  const into = (redirection: string, ...args: string[]) => {
    const done = spawnSync(
      'bash',
      ['-c', `"$@" ${redirection}; exit "\${PIPESTATUS[0]}"`, 'bash', BUN, 'bin/dstack-util.ts', ...args],
      {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'] ?? '', NO_COLOR: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    return { exit: done.status, stderr: done.stderr };
  };
  const PRINTING = [['--version'], ['--help'], ['fde', '--help'], ['rand'], ['hex', '/bin/sh'], ['completion', 'zsh']];
  it.each(PRINTING)('says in one error that standard output is full: %s %s', (...args) => {
    expect(into('> /dev/full', ...args)).toEqual({
      exit: 1,
      stderr:
        'error [FILE_IO]: cannot write to standard output\n  caused by: ENOSPC: no space left on device, write\n' +
        '  where: file standard output\n  hint: check the mount, the free space and the permissions\n',
    });
  });
  it.each(PRINTING)('ends without a word when the reader has gone: %s %s', (...args) => {
    // the reader closes before the program can have started
    expect(into('> >(exec <&-; sleep 0)', ...args).stderr).toBe('');
    expect(into('| exec <&-', 'rand', '-n', '1000000')).toEqual({ exit: 141, stderr: '' });
  });

  it('reports an error as JSON on stdout with --json', () => {
    const { exit, stdout, stderr } = util('derive-key', '--path', 'x', '--keys-file', '/nonexistent/keys', '--json');
    expect(exit).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({ code: 'FILE_NOT_FOUND', path: '/nonexistent/keys' });
    expect(stderr).toContain('error [FILE_NOT_FOUND]');
  });

  it('keeps what a dry run would do out of the one document of --json', () => {
    const { stdout, stderr } = util('prepare', '--dry-run', '--json');
    expect(() => JSON.parse(stdout)).not.toThrow();
    expect(stderr).toContain('run modprobe');
    expect(util('prepare', '--dry-run').stdout).toContain('run modprobe');
  });

  it('knows its alias', () => {
    expect(util('extend', '--help').stdout).toContain('rtmr-extend|extend');
  });
});

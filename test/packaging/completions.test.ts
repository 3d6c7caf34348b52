/** Completions asked of the real shells; zsh and fish only where they are installed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CliCommand, cliTree } from '../../src/commands/cli-tree.ts';
import { bashCompletion, fishCompletion, zshCompletion } from '../../src/commands/shell-completions.ts';
import { COMMANDS } from '../../src/commands/table.ts';

const has = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0;

let dir: string;
let tree: CliCommand[];
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'completions-'));
  tree = await cliTree(COMMANDS);
  writeFileSync(join(dir, 'bash'), bashCompletion(tree));
  writeFileSync(join(dir, '_dstack_util'), zshCompletion(tree));
  writeFileSync(join(dir, 'fish'), fishCompletion(tree));
  writeFileSync(join(dir, 'keys.json'), '{}');
});
afterAll(() => rmSync(dir, { recursive: true }));

/** What bash offers for a line whose last word is being typed. */
function bash(...words: string[]): string[] {
  const script = `source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dstack_util; printf '%s\\n' "\${COMPREPLY[@]}"`;
  // Debian's bash reads /etc/bash.bashrc when its input is a socket or an ssh variable is set, and no other shell is above it
  const done = spawnSync('bash', ['-u', '-c', script, 'bash', 'dstack-util', ...words], {
    cwd: dir,
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  expect(done.stderr).toBe('');
  return done.stdout.split('\n').filter((line) => line !== '');
}

describe('bash', () => {
  it('offers every command and alias', () => {
    const expected = tree.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
    expect(bash('').toSorted()).toEqual([...expected, '--help', '--version'].toSorted());
    expect(bash('fd')).toEqual(['fde']);
  });

  it('offers the options of the command, and of the command below it', () => {
    expect(bash('derive-key', '--pu')).toEqual(['--purpose']);
    expect(bash('fde', '')).toEqual(expect.arrayContaining(['status', 'format', 'open', 'close']));
    expect(bash('fde', 'format', '--f')).toEqual(['--fs']);
  });

  it('offers the values of an option', () => {
    expect(bash('fde', 'format', '--fs', '')).toEqual(['zfs', 'ext4']);
    expect(bash('verify', '--allow-tcb', 'SW')).toEqual(['SWHardeningNeeded']);
    expect(bash('derive-key', '--algorithm', 'e')).toEqual(['ed25519']);
  });

  it('offers files for an option that takes a path, and nothing for any other value', () => {
    expect(bash('fde', 'open', '--key-file', 'ke')).toEqual(['keys.json']);
    expect(bash('derive-key', '--path', 'ke')).toEqual(['keys.json']);
    expect(bash('derive-key', '--purpose', '')).toEqual([]);
  });

  it('knows every option of every command', () => {
    for (const command of tree) {
      for (const it of command.commands.length > 0 ? command.commands : [undefined]) {
        const options = (it ?? command).options.flatMap(({ long }) => (long === undefined ? [] : [long]));
        const words = it === undefined ? [command.name, '--'] : [command.name, it.name, '--'];
        expect(bash(...words).toSorted()).toEqual(options.toSorted());
      }
    }
  });
});

describe.skipIf(!has('zsh'))('zsh', () => {
  it('accepts the script', () => {
    const done = spawnSync('zsh', ['-f', '-n', join(dir, '_dstack_util')], { encoding: 'utf8' });
    expect(done.stderr).toBe('');
    expect(done.status).toBe(0);
  });
});

describe.skipIf(!has('fish'))('fish', () => {
  const complete = (line: string): string[] => {
    const env = { ...process.env, HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir };
    const argv = ['--no-config', '-c', 'source fish; complete -C $argv[1]', line];
    const done = spawnSync('fish', argv, { cwd: dir, encoding: 'utf8', env });
    expect(done.stderr).toBe('');
    return done.stdout.split('\n').filter((it) => it !== '');
  };

  it('offers commands with their summary', () => {
    expect(complete('dstack-util fd')).toEqual([`fde\t${tree.find(({ name }) => name === 'fde')?.summary}`]);
  });

  it('offers options of the command below', () => {
    expect(complete('dstack-util fde format --f').map((it) => it.split('\t')[0])).toEqual(['--fs']);
    expect(complete('dstack-util fde form').map((it) => it.split('\t')[0])).toEqual(['format']);
  });
});

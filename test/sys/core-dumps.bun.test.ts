/** In a process of its own: the change cannot be undone. */
import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

const SCRIPT = `
  import { readFileSync } from 'node:fs';
  import { dlopen } from 'bun:ffi';
  import { refuseCoreDumps } from './src/sys/core-dumps.ts';
  const { symbols } = dlopen('libc.so.6', { prctl: { args: ['i32', 'u64', 'u64', 'u64', 'u64'], returns: 'i32' } });
  const state = () => [
    symbols.prctl(3, 0n, 0n, 0n, 0n), // PR_GET_DUMPABLE
    /Max core file size\\s+(\\S+)/.exec(readFileSync('/proc/self/limits', 'utf8'))[1],
  ];
  const before = state();
  await refuseCoreDumps();
  console.log(JSON.stringify({ before, after: state() }));
`;

describe('a process that holds keys', () => {
  it.runIf('Bun' in globalThis)('leaves no memory image', () => {
    const output = execFileSync(
      'sh',
      ['-c', 'ulimit -S -c unlimited 2>/dev/null; exec "$0" -e "$1"', process.execPath, SCRIPT],
      {
        encoding: 'utf8',
      },
    );
    const { before, after } = JSON.parse(output);
    expect(before[0]).toBe(1);
    expect(after).toEqual([0, '0']);
  });
});

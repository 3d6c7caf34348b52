import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startDryRun } from '../../src/sys/effects.ts';
import { run } from '../../src/sys/exec.ts';
import { makeDir, makeLink, writeAtomic } from '../../src/sys/files.ts';

// a dry run cannot be left again: this file has a process of its own
it('a dry run describes every change and makes none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'dry-'));
  const said: string[] = [];
  startDryRun((line) => said.push(line));
  await writeAtomic(join(folder, 'file'), 'abc', 0o600);
  await makeDir(join(folder, 'dir'));
  await makeLink('x', join(folder, 'link'));
  expect(await run('bash', ['-c', `touch ${folder}/touched`])).toEqual({ exit: 0, stdout: '', stderr: '' });
  expect((await run('bash', ['-c', 'echo looked'], { readOnly: true })).stdout).toBe('looked\n');
  expect(said).toEqual([
    `write ${folder}/file (3 bytes, mode 0600)`,
    `mkdir ${folder}/dir`,
    `link ${folder}/link -> x`,
    `run bash -c 'touch ${folder}/touched'`,
  ]);
  for (const name of ['file', 'dir', 'link', 'touched']) expect(existsSync(join(folder, name))).toBe(false);
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { claim } from '../../initramfs/vm/claim.ts';

it('gives a folder to one process at a time and ignores what a dead one left', () => {
  const dir = mkdtempSync(join(tmpdir(), 'claim-'));
  const release = claim(join(dir, 'vm'));
  expect(() => claim(join(dir, 'vm'))).toThrow(`running already (process ${process.pid})`);
  release();
  claim(join(dir, 'vm'))();
  // the pid exists, but as another process than the one that wrote it
  writeFileSync(join(dir, 'runner.pid'), `${process.pid} 1`);
  claim(dir)();
  writeFileSync(join(dir, 'runner.pid'), 'damaged');
  claim(dir)();
  rmSync(dir, { recursive: true });
});

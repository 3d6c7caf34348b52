import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { noteStep, readSteps } from '../../initramfs/vm/step-log.ts';

it('keeps the longest time of each step and ignores what came from the cache', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'steps-'));
  const file = join(dir, 'new', 'steps.jsonl');
  expect(await readSteps(file)).toEqual(new Map());
  for (const [step, ms] of [
    ['packages', 48_000],
    ['verity', 600],
    ['packages', 50_000],
    ['packages', 20],
  ] as const) {
    await noteStep(step, ms, file);
  }
  expect([...(await readSteps(file))]).toEqual([
    ['packages', 50_000],
    ['verity', 600],
  ]);
  rmSync(dir, { recursive: true });
});

/** How long each step of an image build took when it was really done, for the benchmark: one JSON line a step. */
import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheRoot } from '../lib/cache.ts';

const FILE = join(cacheRoot, 'steps.jsonl');
/** A shorter step found its result in the cache. */
const DONE_MS = 500;

/** Notes a finished step; a log that cannot be written is no reason to fail. */
export async function noteStep(step: string, ms: number, file = FILE): Promise<void> {
  if (ms < DONE_MS) return;
  await mkdir(dirname(file), { recursive: true }).catch(() => {});
  await appendFile(file, `${JSON.stringify({ step, ms })}\n`).catch(() => {});
}

/** The longest time of each step, in the order in which the steps first appeared. */
export async function readSteps(file = FILE): Promise<Map<string, number>> {
  const steps = new Map<string, number>();
  for (const line of (await readFile(file, 'utf8').catch(() => '')).split('\n')) {
    if (line === '') continue;
    const { step, ms } = JSON.parse(line) as { step: string; ms: number };
    steps.set(step, Math.max(ms, steps.get(step) ?? 0));
  }
  return steps;
}

/** The lock of the event log between real processes, with the real flock(2). */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const WORKERS = 4;
const ROUNDS = 25;

it.runIf('Bun' in globalThis)('keeps processes apart', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'event-lock-'));
  try {
    const counter = join(dir, 'counter');
    const worker = join(dir, 'worker.ts');
    writeFileSync(counter, '0');
    // reading, waiting a turn and writing back loses counts as soon as two processes do it at the same time
    writeFileSync(
      worker,
      `import { readFileSync, writeFileSync } from 'node:fs';
       import { withEventLock } from ${JSON.stringify(join(process.cwd(), 'src/tdx/event-log.ts'))};
       for (let round = 0; round < ${ROUNDS}; round++) {
         await withEventLock({ dir: ${JSON.stringify(dir)} }, async () => {
           const value = Number(readFileSync(${JSON.stringify(counter)}, 'utf8'));
           await new Promise((resolve) => setTimeout(resolve, 1));
           writeFileSync(${JSON.stringify(counter)}, String(value + 1));
         });
       }`,
    );
    const exits = await Promise.all(
      Array.from(
        { length: WORKERS },
        () =>
          new Promise<number | null>((resolve) => {
            spawn(process.execPath, [worker], { stdio: 'inherit' }).on('exit', resolve);
          }),
      ),
    );
    expect(exits).toEqual(Array.from({ length: WORKERS }, () => 0));
    expect(readFileSync(counter, 'utf8')).toBe(String(WORKERS * ROUNDS));
  } finally {
    rmSync(dir, { recursive: true });
  }
});

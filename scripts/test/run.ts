/** Runs steps side by side as far as their order allows, each with its output in a file of its own. */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, readFileSync, rmSync } from 'node:fs';
import { BOOTED_INSTEAD } from '../../initramfs/vm/thaw-or-boot.ts';
import { LOGS, type Step } from './steps.ts';

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export type Say = (text: string) => void;

/** vitest's line for a file of tests that has ended */
const FILE_ENDED = /^ ?[✓❯×↓] \S+\.test\.ts /;

/**
 * Starts each step when all it waits for have ended, whatever their outcome; steps that are not in the list are not waited
 * for.
 * @returns what `work` returned, in the order of the list
 */
export async function inOrder<S extends Pick<Step, 'name' | 'after'>, T>(
  steps: readonly S[],
  work: (step: S) => Promise<T>,
): Promise<T[]> {
  const ends = new Map<string, Promise<T>>();
  for (const step of steps) {
    // a step stands behind those that it waits for
    const before = step.after.flatMap((name) => ends.get(name) ?? []);
    ends.set(
      step.name,
      Promise.all(before).then(() => work(step)),
    );
  }
  return Promise.all(ends.values());
}

/**
 * Runs one step. Its output is in `.cache/test/NAME.log` at once, and on the screen when it ends; a step that runs alone
 * shows it at once. Files of tests are named as they end, so that a long step shows that it lives.
 */
export async function runStep(step: Step, alone: boolean, say: Say): Promise<{ outcome: Outcome; line: string }> {
  if (step.report) rmSync(step.report, { force: true });
  say(`=== ${step.title} ... started`);
  const started = performance.now();
  const status = await execute(step, (text) => {
    if (alone) process.stderr.write(text);
    else for (const line of text.split('\n')) if (FILE_ENDED.test(line)) say(`${step.name}: ${line.trim()}`);
  });
  const log = readFileSync(`${LOGS}/${step.name}.log`, 'utf8');
  const outcome = count(step, status);
  const { passed, failed, skipped } = outcome;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (!alone) process.stderr.write(`\n=== ${step.title}: its output\n${log}`);
  const booted = log.split(BOOTED_INSTEAD).length - 1;
  const more = booted === 0 ? '' : `, ${booted} guests booted that should have been thawed`;
  const line = `${failed === 0 ? 'ok  ' : 'FAIL'} ${step.title}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds} s${more}`;
  say(line);
  return { outcome, line };
}

/** Whole lines go to `seen` as they come. */
function execute(step: Step, seen: Say): Promise<number> {
  return new Promise((resolve) => {
    const log = createWriteStream(`${LOGS}/${step.name}.log`);
    const [file = '', ...args] = step.argv;
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
    for (const stream of [child.stdout, child.stderr]) {
      const decoder = new TextDecoder();
      let rest = '';
      stream.on('data', (chunk: Uint8Array) => {
        log.write(chunk);
        const text = rest + decoder.decode(chunk, { stream: true });
        const end = text.lastIndexOf('\n') + 1;
        rest = text.slice(end);
        if (end > 0) seen(text.slice(0, end));
      });
      stream.on('close', () => rest !== '' && seen(`${rest}\n`));
    }
    child.on('error', (failure) => {
      log.write(`${failure.message}\n`);
      resolve(1);
    });
    child.on('close', (status) => log.end(() => resolve(status ?? 1)));
  });
}

/** Counts of a vitest JSON report; a run that ended without a report, or failed outside a test, counts as a failure. */
function count(step: Step, status: number): Outcome {
  if (step.report === undefined) return { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 };
  if (!existsSync(step.report)) return { passed: 0, failed: 1, skipped: 0 };
  const report = JSON.parse(readFileSync(step.report, 'utf8')) as Record<string, number>;
  const passed = report['numPassedTests'] ?? 0;
  const failed = report['numFailedTests'] ?? 0;
  const skipped = (report['numPendingTests'] ?? 0) + (report['numTodoTests'] ?? 0);
  return { passed, failed: failed === 0 && status !== 0 ? 1 : failed, skipped };
}

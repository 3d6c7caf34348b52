/**
 * `npm test`: format and lint, types, unit tests under Node, the tests that need Bun, the build, and the VM tests.
 * Ends with the line `N passed, N failed, N skipped`. Options: `--no-vm` leaves out what boots a machine, `--only=STEP`
 * runs one step.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { ensureTestTools } from '../initramfs/lib/host.ts';

const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
const LOGS = '.cache/test';

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

interface Step {
  readonly name: string;
  readonly title: string;
  readonly argv: readonly string[];
  /** a vitest step leaves its counts in this file; any other step counts as one test */
  readonly report?: string;
  readonly vm?: boolean;
}

const vitest = (name: string, runner: readonly string[], args: readonly string[]) => ({
  argv: [
    ...runner,
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${LOGS}/${name}.json`,
    ...args,
  ],
  report: `${LOGS}/${name}.json`,
});

const STEPS: readonly Step[] = [
  {
    name: 'lint',
    title: 'format, lint and import floors',
    argv: ['node_modules/.bin/biome', 'ci', '--colors=off', '--error-on-warnings', '.'],
  },
  { name: 'types', title: 'types', argv: ['node_modules/.bin/tsc', '-p', '.'] },
  { name: 'build', title: 'build of both binaries', argv: [BUN, 'scripts/build.ts'] },
  { name: 'unit', title: 'unit tests (Node)', ...vitest('unit', ['node'], []) },
  {
    name: 'bun',
    title: 'tests of the operating system interface (Bun)',
    ...vitest('bun', [BUN, '--bun'], ['--config', 'vitest.bun.config.ts']),
  },
  {
    name: 'vm',
    title: 'virtual machines',
    vm: true,
    ...vitest('vm', ['node'], ['--config', 'vitest.vm.config.ts']),
  },
];

/** Runs a step with its output on the screen and in a log file. */
function run(step: Step): Promise<number> {
  return new Promise((resolve) => {
    const log = createWriteStream(`${LOGS}/${step.name}.log`);
    const [file = '', ...args] = step.argv;
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Uint8Array) => {
        process.stderr.write(chunk);
        log.write(chunk);
      });
    }
    child.on('error', (failure) => {
      console.error(failure.message);
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

const args = process.argv.slice(2);
const only = args.find((arg) => arg.startsWith('--only='))?.slice('--only='.length);
const steps = STEPS.filter(
  (step) => (only === undefined || step.name === only) && !(step.vm && args.includes('--no-vm')),
);
mkdirSync(LOGS, { recursive: true });
// without them the tests that drive them skip and say so
await ensureTestTools((what) => console.error(what)).catch((failure: Error) => console.error(failure.message));
const total = { passed: 0, failed: 0, skipped: 0 };
const lines: string[] = [];
for (const [index, step] of steps.entries()) {
  console.error(`\n=== ${index + 1}/${steps.length} ${step.title}`);
  if (step.report) rmSync(step.report, { force: true });
  const started = performance.now();
  const outcome = count(step, await run(step));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  lines.push(
    `${outcome.failed === 0 ? 'ok  ' : 'FAIL'} ${step.title}: ${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped} skipped, ${seconds} s`,
  );
  total.passed += outcome.passed;
  total.failed += outcome.failed;
  total.skipped += outcome.skipped;
}
console.log(`\n${lines.join('\n')}\n`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

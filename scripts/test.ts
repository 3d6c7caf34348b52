/**
 * `npm test`: format and lint, types, the build, unit tests under Node, the tests that need Bun, and the VM tests, side by
 * side where that is faster. Ends with the line `N passed, N failed, N skipped`.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { Option } from 'commander';
import { ensureTestTools } from '../initramfs/lib/host.ts';
import { npmScript, runScript } from './lib/script.ts';
import { inOrder, runStep } from './test/run.ts';
import { type Change, LOGS, testSteps } from './test/steps.ts';
import { vmTestsOf } from './test/vm-tests.ts';

const SUFFIX = '.vm.test.ts';

interface Flags {
  readonly vm: boolean;
  readonly only?: string;
  /** the commit, or true for what is not committed */
  readonly changed?: string | true;
}

function change(base: string | undefined): Change {
  const git = (...words: string[]) => execFileSync('git', words, { encoding: 'utf8' }).split('\n').filter(Boolean);
  // as vitest sees it: from where the branch left, and what is not committed
  const since = base === undefined ? [] : git('diff', '--name-only', `${base}...HEAD`);
  const files = [...since, ...git('diff', '--name-only', 'HEAD'), ...git('ls-files', '--others', '--exclude-standard')];
  const all = readdirSync('test/vm').filter((name) => name.endsWith(SUFFIX));
  const tests = vmTestsOf(
    files,
    all.map((name) => name.slice(0, -SUFFIX.length)),
  );
  console.error(`${new Set(files).size} files changed; VM tests: ${tests.join(', ') || 'none'}`);
  return { base, vmTests: tests.map((name) => `test/vm/${name}${SUFFIX}`) };
}

async function test({ vm, only, changed }: Flags): Promise<void> {
  const steps = testSteps(changed === undefined ? undefined : change(changed === true ? undefined : changed)).filter(
    (step) => (only === undefined || step.name === only) && (vm || !step.vm),
  );
  mkdirSync(LOGS, { recursive: true });
  // without them the tests that drive them skip and say so
  await ensureTestTools((what) => console.error(what)).catch((failure: Error) => console.error(failure.message));
  const began = performance.now();
  const say = (text: string) => {
    const seconds = ((performance.now() - began) / 1000).toFixed(0).padStart(5);
    process.stderr.write(`${seconds} s  ${text}\n`);
  };
  const ended = await inOrder(steps, (step) => runStep(step, steps.length === 1, say));
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const { outcome } of ended) {
    total.passed += outcome.passed;
    total.failed += outcome.failed;
    total.skipped += outcome.skipped;
  }
  const minutes = ((performance.now() - began) / 60_000).toFixed(1);
  console.log(`\n${ended.map(({ line }) => line).join('\n')}\n${minutes} minutes\n`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
}

const names = testSteps().map(({ name }) => name);
await runScript(
  npmScript('test', 'format and lint, types, builds, unit tests, tests in virtual machines; without options everything')
    .option('--no-vm', 'leave out what boots a virtual machine')
    .addOption(new Option('--only <step>', 'run one step').choices(names))
    .option('--changed [commit]', 'run what a change touches: what is not committed, or what differs from the commit')
    .addHelpText('after', '\nThe output of each step stays in .cache/test/STEP.log.')
    .action(test),
);

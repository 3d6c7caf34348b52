/** The steps of `npm test`, and which of them wait for which. */

/** Bun, which compiles the binaries, runs the scripts, and is what some tests are about. */
const BUN = 'node_modules/@oven/bun-linux-x64-baseline/bin/bun';
export const LOGS = '.cache/test';

export interface Step {
  readonly name: string;
  readonly title: string;
  readonly argv: readonly string[];
  /** the steps that must have ended before; the others may run beside it */
  readonly after: readonly string[];
  /** a vitest step leaves its counts in this file; any other step counts as one test */
  readonly report?: string;
  /** belongs to what boots a machine, so that it needs root and minutes */
  readonly vm?: boolean;
}

/** What a run of the tests that a change touches hands to vitest. */
export interface Change {
  /** since this commit; undefined for what is not committed yet */
  readonly base: string | undefined;
  /** files of VM tests, as `vmTestsOf` knows them */
  readonly vmTests: readonly string[];
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

/**
 * All steps, or those of a change. What keeps every processor busy has the machine to itself (unit tests, then VM tests);
 * beside it runs what waits for a network, a disk or one processor (the image), and what has time (the ZFS modules, which
 * the last VM tests need).
 */
export function testSteps(change?: Change): Step[] {
  const changed = change === undefined ? [] : [change.base === undefined ? '--changed' : `--changed=${change.base}`];
  const steps: Step[] = [
    {
      name: 'lint',
      title: 'format, lint and import floors',
      after: [],
      argv: ['node_modules/.bin/biome', 'ci', '--colors=off', '--error-on-warnings', '.'],
    },
    { name: 'types', title: 'types', after: [], argv: ['node_modules/.bin/tsc', '-p', '.'] },
    {
      name: 'types-page',
      title: 'types of the verification page',
      after: [],
      argv: ['node_modules/.bin/tsc', '-p', 'packages/verify-page'],
    },
    { name: 'build', title: 'build of both binaries', after: [], argv: [BUN, 'scripts/build.ts'] },
    {
      name: 'unit',
      title: 'unit tests (Node)',
      after: ['lint', 'types', 'types-page', 'build'],
      ...vitest('unit', ['node'], changed),
    },
    {
      name: 'bun',
      title: 'tests of the operating system interface (Bun)',
      after: ['unit'],
      ...vitest('bun', [BUN, '--bun'], ['--config', 'vitest.bun.config.ts', ...changed]),
    },
    { name: 'image', title: 'guest image', after: ['build'], vm: true, argv: [BUN, 'test/vm/make-image.ts'] },
    {
      name: 'zfs',
      title: 'guest image with the ZFS modules',
      after: ['image'],
      vm: true,
      argv: ['nice', '-n', '5', BUN, 'test/vm/make-image.ts', '--zfs'],
    },
    {
      name: 'vm',
      title: 'virtual machines',
      after: ['unit', 'image'],
      vm: true,
      ...vitest('vm', ['node'], ['--config', 'vitest.vm.config.ts', ...(change?.vmTests ?? [])]),
    },
  ];
  return steps.filter(({ vm }) => !vm || change === undefined || change.vmTests.length > 0);
}

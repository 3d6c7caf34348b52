/** `npm run bench -- cli [--against NAME=COMMAND]`: start-up of the compiled binary, whole processes from spawn to exit. */
import { ensureBinaries } from '../initramfs/vm/dev-image.ts';
import { inTurns } from './against.ts';
import { options } from './options.ts';
import { printFigure } from './print.ts';
import { note } from './report.ts';

const ROUNDS = 41;
const CASES = [
  { args: ['--version'], budget: 12 },
  { args: ['--help'], budget: 20 },
  { args: ['setup', '--plan'], budget: undefined },
  { args: ['rand', '--bytes', '32'], budget: undefined },
] as const;

/** Processor time of the last run of each, in milliseconds: what remains on a busy machine. */
const processor = new Map<string, number[]>();

/** @returns milliseconds from spawn to exit */
async function once(name: string, argv: readonly string[]): Promise<number> {
  const began = performance.now();
  const child = Bun.spawn([...argv], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { PATH: process.env['PATH'] ?? '' },
  });
  // not the exit status: another implementation may not know an option, and says so as fast as it can
  await child.exited;
  const took = performance.now() - began;
  processor.set(name, [...(processor.get(name) ?? []), Number(child.resourceUsage()?.cpuTime.total ?? 0) / 1000]);
  return took;
}

const { util } = await ensureBinaries();
const others = options().against.filter(({ command }) => command !== undefined);
console.log('\nwhole process of the compiled binary, spawn to exit');
for (const { args, budget } of CASES) {
  const runs = new Map([['', () => once('', [util, ...args])]]);
  for (const { name, command = [] } of others) runs.set(name, () => once(name, [...command, ...args]));
  await inTurns(runs, 3); // warm
  processor.clear();
  const name = `dstack-util ${args.join(' ')}`;
  for (const [what, values] of [
    [name, await inTurns(runs, ROUNDS)],
    [`${name}, processor time`, processor],
  ] as const) {
    const ours = values.get('') ?? [];
    const theirs = new Map([...values].filter(([who]) => who !== ''));
    printFigure(
      note({ bench: 'cli', name: what, unit: 'ms', budget: what === name ? budget : undefined }, ours, theirs),
    );
  }
}

/** `prepare`: the machine, before anything of the app is read. */
import type { Command } from 'commander';
import { loadRun, loadRunSequence, loadSequence } from '../boot/boot.ts';
import * as ui from '../ui.ts';
import { dryRun } from './dry-run.ts';

interface Options {
  readonly plan?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

async function plan(options: Options): Promise<void> {
  const { PREPARE } = await loadSequence();
  const { phaseNames, planText } = await loadRunSequence();
  const value = { sequence: 'prepare', phases: phaseNames(PREPARE) };
  ui.result(value, { json: options.json, text: () => planText('prepare', PREPARE) });
}

export default function define(command: Command): void {
  command
    .option('--plan', 'print the phases and do nothing')
    .option('--dry-run', 'print each program call and file write without doing it')
    .option('--json', 'print the result as JSON: the data device and the phases')
    .addHelpText(
      'after',
      '\nLeaves /run/dstack/prepared.json for `setup`. On a machine without a TEE it changes nothing and leaves only the record\nof the attempt in /run/log/dstack/boot.jsonl.',
    )
    .action(async (options: Options) => {
      if (options.plan) return plan(options);
      if (options.dryRun) await dryRun(options);
      const { prepare, realBootDependencies } = await loadRun();
      const prepared = await prepare(realBootDependencies());
      if (options.json) ui.result(prepared, { json: true, text: () => '' });
    });
}

/** `setup`: from the host share to an opened data disk, and with --handover up to the start of docker. */
import type { Command } from 'commander';
import { loadRun, loadRunSequence, loadSequence } from '../boot/boot.ts';
import { PATHS } from '../config/paths.ts';
import * as ui from '../ui.ts';
import { dryRun } from './dry-run.ts';

interface Options {
  readonly workDir: string;
  readonly device?: string;
  readonly mountPoint: string;
  readonly hostShared?: string;
  readonly handover?: boolean;
  readonly plan?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

async function plan({ handover, json }: Options): Promise<void> {
  const { HANDOVER, SETUP } = await loadSequence();
  const { phaseNames, planText } = await loadRunSequence();
  const value = {
    sequence: 'setup',
    phases: phaseNames(SETUP),
    ...(handover ? { handover: phaseNames(HANDOVER) } : {}),
  };
  const text = () => [planText('setup', SETUP), ...(handover ? [planText('handover', HANDOVER)] : [])].join('\n');
  ui.result(value, { json, text });
}

export default function define(command: Command): void {
  command
    .option('--work-dir <dir>', 'folder that is mounted at /dstack', PATHS.workDir)
    .option('--device <device>', 'data device (default: what `prepare` chose)')
    .option('--mount-point <dir>', 'where the data disk is mounted', PATHS.dataMount)
    .option('--host-shared <dir>', 'read the files of the host from this folder instead of mounting the share')
    .option('--handover', 'also bind mounts, verity volumes, init scripts and the compose file')
    .option('--plan', 'print the phases and do nothing')
    .option('--dry-run', 'check the inputs, print each program call and file write without doing it')
    .option('--json', 'print the plan, or an error, as JSON')
    .addHelpText(
      'after',
      '\nPrints the identity of the app as JSON. To check files before they are deployed:\n' +
        '  dstack-util setup --dry-run --host-shared <dir> --device <device>',
    )
    .action(async (options: Options) => {
      if (options.plan) return plan(options);
      if (options.dryRun) await dryRun(options);
      const { setup, realBootDependencies } = await loadRun();
      await setup(options, realBootDependencies());
    });
}

import type { Command } from 'commander';

interface Options {
  readonly workDir?: string;
  readonly device?: string;
  readonly mountPoint?: string;
  readonly hostShared?: string;
  readonly handover?: boolean;
  readonly plan?: boolean;
  readonly dryRun?: boolean;
}

/** `setup`: from the host share to an opened data disk; with --handover up to the start of docker. */
export default function define(command: Command): void {
  command
    .option('--work-dir <dir>', 'folder that becomes /dstack (default: /var/volatile/dstack)')
    .option('--device <dev>', 'data device (default: what `prepare` chose)')
    .option('--mount-point <dir>', 'where the data disk is mounted (default: /var/volatile/dstack/persistent)')
    .option('--host-shared <dir>', 'read the files of the host from this folder instead of mounting the share')
    .option('--handover', 'also bind mounts, verity volumes, init scripts and the compose file')
    .option('--plan', 'print the phases and do nothing')
    .option('--dry-run', 'check the inputs and print each program call and file write, change nothing')
    .action(async (options: Options) => {
      if (options.plan) {
        const { SETUP, HANDOVER } = await import('../boot/sequence.ts');
        const { planText } = await import('../boot/runner.ts');
        const parts = [planText('setup', SETUP), ...(options.handover ? [planText('handover', HANDOVER)] : [])];
        process.stdout.write(`${parts.join('\n')}\n`);
        return;
      }
      if (options.dryRun) (await import('../sys/effects.ts')).startDryRun((line) => process.stdout.write(`${line}\n`));
      const { setup, thisMachine } = await import('../boot/run.ts');
      await setup(options, thisMachine());
    });
}
